"""When HubSpot's custom events are seen and how fast they may come, as the simulator has it."""

from typing import Any

import httpx
import pytest

from sandbox.hubspot.records.portal import Portal
from tests.clock import OwnedClock
from tests.samples import TOKEN

EARNED = "pe12345_nova_earned"


@pytest.fixture
def clock() -> OwnedClock:
    return OwnedClock()


@pytest.fixture
def portal(clock: OwnedClock) -> Portal:
    return Portal(12345, [TOKEN], clock=clock)


@pytest.fixture
async def ada(hubspot: httpx.AsyncClient) -> str:
    """The id of a contact, in a portal that knows an event."""
    body = {"name": "nova_earned", "label": "x", "includeDefaultProperties": False, "propertyDefinitions": []}
    assert (await hubspot.post("/events/v3/event-definitions", json=body)).status_code == 201
    created = await hubspot.post("/crm/v3/objects/contacts", json={"properties": {"email": "ada@example.com"}})
    return str(created.json()["id"])


def occurrence(uuid: str, **more: Any) -> dict[str, Any]:
    body = {"eventName": EARNED, "email": "ada@example.com", "uuid": uuid, "properties": {}}
    return body | {"occurredAt": f"2026-11-24T03:00:0{uuid}Z"} | more


async def send(hubspot: httpx.AsyncClient, *occurrences: dict[str, Any]) -> int:
    return (await hubspot.post("/events/v3/send/batch", json={"inputs": occurrences})).status_code


@pytest.mark.parametrize("path", ["/events/v3/events", "/events/event-occurrences/2026-09"])
async def test_an_accepted_occurrence_is_read_back_once_it_is_visible(
    hubspot: httpx.AsyncClient, portal: Portal, clock: OwnedClock, ada: str, path: str
) -> None:
    portal.change_settings(event_visibility_s=60)
    assert await send(hubspot, occurrence("1"), occurrence("2")) == 204
    query = f"{path}?objectType=contact&objectId={ada}&eventType={EARNED}"
    early = await hubspot.get(query)
    clock.advance(60)
    late = await hubspot.get(query)

    assert (early.status_code, early.json()) == (200, {"results": []})
    assert [result["id"] for result in late.json()["results"]] == ["2", "1"]
    assert late.json()["results"][1] == {
        "objectType": "CONTACT",
        "objectId": ada,
        "eventType": EARNED,
        "occurredAt": "2026-11-24T03:00:01.000Z",
        "id": "1",
        "properties": {},
    }
    assert (await hubspot.get(f"{path}?objectType=contact&objectId={ada}&eventType=other")).json()["results"] == []
    assert (await hubspot.get(path)).status_code == 400


async def test_occurrences_are_read_back_in_pages(hubspot: httpx.AsyncClient, ada: str) -> None:
    await send(hubspot, *[occurrence(str(number)) for number in range(3)])
    query = f"/events/v3/events?objectType=contact&objectId={ada}&limit=2"
    first = (await hubspot.get(query)).json()
    second = (await hubspot.get(f"{query}&after={first['paging']['next']['after']}")).json()

    assert [result["id"] for result in first["results"] + second["results"]] == ["2", "1", "0"]
    assert "paging" not in second


async def test_calls_that_send_have_a_rate_of_their_own(
    hubspot: httpx.AsyncClient, portal: Portal, clock: OwnedClock, ada: str
) -> None:
    portal.change_settings(event_calls_per_s=2)
    answers = [await hubspot.post("/events/v3/send", json=occurrence(str(number))) for number in range(3)]
    clock.advance(1)
    answers.append(await hubspot.post("/events/v3/send", json=occurrence("3")))

    assert [answer.status_code for answer in answers] == [204, 204, 429, 204]
    assert answers[2].json()["policyName"] == "SECONDLY"
    assert not [name for answer in answers for name in answer.headers if "ratelimit" in name]


async def test_a_bad_occurrence_is_passed_over_where_the_switch_says_so(
    hubspot: httpx.AsyncClient, portal: Portal, ada: str
) -> None:
    bad = occurrence("2", eventName="pe12345_unknown")
    assert await send(hubspot, occurrence("1"), bad) == 400
    portal.change_settings(bad_occurrence="skip")
    assert await send(hubspot, occurrence("1"), bad) == 204

    entries = (await hubspot.get("/_simulator/timeline")).json()["results"]
    assert [(entry["kind"], entry["uuid"]) for entry in entries] == [("event", "1")]
