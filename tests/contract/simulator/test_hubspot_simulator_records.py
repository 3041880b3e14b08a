"""What the test API of the HubSpot simulator tells of the portal's contents, and how it fills it."""

from typing import Any

import httpx
import pytest

from tests.samples import TOKEN


@pytest.fixture
async def ids(hubspot: httpx.AsyncClient) -> list[str]:
    """The ids of two contacts that were there from the beginning."""
    contacts = [
        {"email": "ada@example.com", "company": "Analytical Engines", "createdate": "2020-01-01T00:00:00.000Z"},
        {"firstname": "Bob"},
    ]
    answer = await hubspot.post("/_simulator/contacts", json={"contacts": contacts})
    assert answer.status_code == 201
    return [str(contact_id) for contact_id in answer.json()["results"]]


async def contacts(hubspot: httpx.AsyncClient, query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await hubspot.get(f"/_simulator/contacts?{query}")).json()["results"]
    return found


async def test_contacts_are_there_from_the_beginning_without_a_call_to_hubspot(
    hubspot: httpx.AsyncClient, ids: list[str]
) -> None:
    assert (await hubspot.get("/_simulator/requests")).json()["total"] == 0
    read = await hubspot.get("/crm/v3/objects/contacts/ada@example.com?idProperty=email")
    assert (read.json()["id"], read.json()["properties"]["createdate"]) == (ids[0], "2020-01-01T00:00:00.000Z")


async def test_contacts_are_listed_newest_first_and_found_by_any_value(
    hubspot: httpx.AsyncClient, ids: list[str]
) -> None:
    assert [contact["id"] for contact in await contacts(hubspot, "newest_first=true")] == ids[::-1]
    for query in ("engines", "ADA@", ids[0]):
        assert [contact["id"] for contact in await contacts(hubspot, f"query={query}")] == ids[:1]
    assert "writes" not in (await contacts(hubspot, "writes=false"))[0]


async def test_a_contact_without_an_email_has_a_timeline_by_its_id(hubspot: httpx.AsyncClient, ids: list[str]) -> None:
    types = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 202}]
    body = {"properties": {"hs_timestamp": "0"}, "associations": [{"to": {"id": ids[1]}, "types": types}]}
    await hubspot.post("/crm/v3/objects/notes", json=body)

    [entry] = (await hubspot.get(f"/_simulator/contacts/{ids[1]}/timeline")).json()["results"]
    assert (entry["kind"], entry["objectId"], entry["body"]) == ("note", ids[1], "")


async def test_the_quota_that_is_spent_now_is_told_for_each_masked_token(hubspot: httpx.AsyncClient) -> None:
    for _ in range(3):
        await hubspot.get("/account-info/v3/details")
    answer = await hubspot.get("/_simulator/quota")

    told = answer.json()
    assert ([window["used"] for window in told["windows"]], told["quota"]) == ([3], 100)
    assert (told["used_today"], told["daily_limit"]) == (3, 250_000)
    assert TOKEN not in answer.text


async def test_the_settings_tell_what_they_can_be(hubspot: httpx.AsyncClient) -> None:
    settings = (await hubspot.get("/_simulator/settings")).json()
    schema = (await hubspot.get("/_simulator/settings/schema")).json()["properties"]

    assert set(schema) == set(settings) - {"portal_id"}
    assert schema["batch_status"]["enum"] == ["COMPLETE", "PENDING"]


async def test_the_newest_calls_come_first_where_they_are_asked_for(hubspot: httpx.AsyncClient) -> None:
    await hubspot.get("/account-info/v3/details")
    await hubspot.get("/crm/v3/objects/contacts/999")

    log = (await hubspot.get("/_simulator/requests?newest_first=true&limit=1")).json()
    assert (log["total"], [request["status"] for request in log["results"]]) == (2, [404])
