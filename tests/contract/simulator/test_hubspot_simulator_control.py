"""The test API of the HubSpot simulator."""

from typing import Any

import httpx
import pytest

from tests.samples import TOKEN

UPSERT = "/crm/v3/objects/contacts/batch/upsert"


async def upsert(hubspot: httpx.AsyncClient, *names: str) -> httpx.Response:
    inputs = [
        {"id": f"{name}@example.com", "idProperty": "email", "properties": {"phone": "1"}, "objectWriteTraceId": name}
        for name in names
    ]
    return await hubspot.post(UPSERT, json={"inputs": inputs})


async def fail(hubspot: httpx.AsyncClient, answer: dict[str, Any], **more: Any) -> int:
    made = await hubspot.post("/_simulator/faults", json={"answer": answer, **more})
    assert made.status_code == 201, made.text
    return int(made.json()["id"])


async def contacts(hubspot: httpx.AsyncClient) -> int:
    return int((await hubspot.get("/_simulator/contacts")).json()["total"])


async def test_every_write_is_kept_with_its_trace_in_order(hubspot: httpx.AsyncClient) -> None:
    for phone, trace in (("1", "first"), ("2", "second")):
        body = {"id": "ada@example.com", "idProperty": "email", "properties": {"phone": phone}}
        await hubspot.post(UPSERT, json={"inputs": [body | {"objectWriteTraceId": trace}]})

    [contact] = (await hubspot.get("/_simulator/contacts")).json()["results"]
    assert [(write["trace"], write["properties"]) for write in contact["writes"]] == [
        ("first", {"email": "ada@example.com", "phone": "1"}),
        ("second", {"phone": "2"}),
    ]


async def test_the_log_and_the_statistics_tell_of_calls_without_naming_anyone(hubspot: httpx.AsyncClient) -> None:
    await hubspot.put("/_simulator/settings", json={"quota": 3})
    await upsert(hubspot, "ada", "bob")
    await hubspot.get("/crm/v3/objects/contacts/ada@example.com?idProperty=email")
    await fail(hubspot, {"kind": "rate_limit"}, when={"count": 1})
    await upsert(hubspot, "ada")
    await upsert(hubspot, "ada")

    log = await hubspot.get("/_simulator/requests")
    requests = log.json()["results"]
    assert [(request["status"], request["inputs"], request["caused_by_fault"]) for request in requests] == [
        (200, 2, False),
        (200, None, False),
        (429, 1, True),
        (429, 1, False),
    ]
    assert requests[1]["path"] == "/crm/v3/objects/contacts/{id}"
    assert TOKEN not in log.text
    assert "example.com" not in log.text
    statistics = (await hubspot.get("/_simulator/statistics")).json()
    assert statistics["calls"][f"POST {UPSERT}"] == {"200": 1, "429": 2}
    assert (statistics["rate_limited_by_quota"], statistics["most_calls_in_a_window"]) == (1, 4)


async def test_a_setting_that_does_not_exist_or_makes_no_sense_is_refused(hubspot: httpx.AsyncClient) -> None:
    for changes in ({"quotas": 1}, {"quota": 0}, {"time_zone": "Mars/Base"}, {"duplicate_uuid": "maybe"}):
        assert (await hubspot.put("/_simulator/settings", json=changes)).status_code == 422

    assert (await hubspot.get("/_simulator/settings")).json()["quota"] == 100


@pytest.mark.parametrize(
    "changes",
    [
        {"type": []},
        {"type": "enumeration", "options": 5},
        {"options": [5], "type": "enumeration"},
        {"name": 5, "type": {}},
    ],
)
async def test_a_property_that_makes_no_sense_is_refused_by_the_test_api_too(
    hubspot: httpx.AsyncClient, changes: dict[str, Any]
) -> None:
    assert (await hubspot.put("/_simulator/properties/role", json=changes)).status_code == 422
    assert (await hubspot.put("/_simulator/properties/phone", json=changes)).status_code == 422
    assert (await upsert(hubspot, "ada")).status_code == 200


async def test_a_time_that_no_clock_has_is_refused(hubspot: httpx.AsyncClient) -> None:
    for name in ("search_lag_s", "event_visibility_s", "export_s", "window_s"):
        assert (await hubspot.put("/_simulator/settings", json={name: 1e300})).status_code == 422
    assert (await hubspot.post("/_simulator/clock/advance", json={"seconds": 1e300})).status_code == 422


async def test_a_reset_makes_it_a_new_portal(hubspot: httpx.AsyncClient) -> None:
    await upsert(hubspot, "ada")
    await fail(hubspot, {"kind": "status", "status": 500})
    await hubspot.put("/_simulator/settings", json={"quota": 1})
    await hubspot.post("/_simulator/reset")

    assert await contacts(hubspot) == 0
    assert (await hubspot.get("/_simulator/settings")).json()["quota"] == 100
    assert (await upsert(hubspot, "ada")).json()["results"][0]["new"] is True
    assert (await hubspot.get("/_simulator/requests")).json()["total"] == 1
