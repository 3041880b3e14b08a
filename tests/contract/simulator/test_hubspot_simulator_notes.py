"""HubSpot's notes, as the simulator has them."""

from typing import Any

import httpx
import pytest

CONTACTS = "/crm/objects/2026-03/contacts"
NOTES = "/crm/objects/2026-03/notes"
AT = "2026-11-24T03:00:00.000Z"


def note(contact_id: str, body: str = "Nova earned", trace: str | None = None, kind: int = 202) -> dict[str, Any]:
    association = {
        "to": {"id": contact_id},
        "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": kind}],
    }
    made = {"properties": {"hs_timestamp": AT, "hs_note_body": body}, "associations": [association]}
    return made if trace is None else made | {"objectWriteTraceId": trace}


async def create_batch(hubspot: httpx.AsyncClient, *inputs: dict[str, Any]) -> httpx.Response:
    return await hubspot.post(f"{NOTES}/batch/create", json={"inputs": inputs})


async def timeline(hubspot: httpx.AsyncClient, email: str = "ada@example.com") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await hubspot.get(f"/_simulator/contacts/{email}/timeline")).json()["results"]
    return found


@pytest.fixture
async def ada(hubspot: httpx.AsyncClient) -> str:
    """The id of a contact."""
    created = await hubspot.post(CONTACTS, json={"properties": {"email": "ada@example.com"}})
    return str(created.json()["id"])


@pytest.mark.parametrize("version", ["/crm/v3/objects", "/crm/objects/2026-03", "/crm/objects/2026-09"])
@pytest.mark.parametrize("kind", ["notes", "0-46"])
async def test_a_note_is_on_the_timeline_of_its_contact_in_every_version(
    hubspot: httpx.AsyncClient, ada: str, version: str, kind: str
) -> None:
    created = await hubspot.post(f"{version}/{kind}", json=note(ada, "<b>Nova</b> earned"))
    read = await hubspot.get(f"{version}/{kind}/{created.json()['id']}?properties=hs_note_body,hubspot_owner_id")

    assert created.status_code == 201
    assert created.headers["X-HubSpot-RateLimit-Remaining"] == "98"
    assert created.json()["properties"]["hs_timestamp"] == AT
    assert (read.json()["properties"]["hs_note_body"], read.json()["properties"]["hubspot_owner_id"]) == (
        "<b>Nova</b> earned",
        None,
    )
    [entry] = await timeline(hubspot)
    assert entry == {
        "kind": "note",
        "id": created.json()["id"],
        "uuid": None,
        "objectId": ada,
        "email": "ada@example.com",
        "timestamp": AT,
        "body": "<b>Nova</b> earned",
        "acceptedAt": created.json()["createdAt"],
    }
    assert (await hubspot.get("/_simulator/statistics")).json()["notes"] == 1


async def test_a_replayed_note_is_a_second_note(hubspot: httpx.AsyncClient, ada: str) -> None:
    for _ in range(2):
        assert (await create_batch(hubspot, note(ada, trace="same"))).status_code == 201

    assert [entry["body"] for entry in await timeline(hubspot)] == ["Nova earned", "Nova earned"]


async def test_a_timestamp_is_iso_or_milliseconds_and_a_note_needs_one(hubspot: httpx.AsyncClient, ada: str) -> None:
    made = note(ada)
    made["properties"]["hs_timestamp"] = 1795489200000
    milliseconds = await hubspot.post(NOTES, json=made)
    del made["properties"]["hs_timestamp"]
    without = await hubspot.post(NOTES, json=made)

    assert milliseconds.json()["properties"]["hs_timestamp"] == AT
    assert (without.status_code, without.json()["category"]) == (400, "VALIDATION_ERROR")
    assert without.json()["message"] == "Error creating NOTE. Some required properties were not set."
    assert without.json()["context"] == {"properties": ["hs_timestamp"]}


@pytest.mark.parametrize(
    ("properties", "code"),
    [
        ({"hs_note_body": "x" * 65_537}, "STRING_TOO_LONG"),
        ({"hs_timestamp": "yesterday"}, "INVALID_LONG"),
        ({"colour": "red"}, "PROPERTY_DOESNT_EXIST"),
        ({"hs_object_id": "1"}, "READ_ONLY_VALUE"),
    ],
)
async def test_a_note_with_a_value_that_is_not_taken_is_refused(
    hubspot: httpx.AsyncClient, ada: str, properties: dict[str, str], code: str
) -> None:
    made = note(ada)
    made["properties"] |= properties
    answer = await hubspot.post(NOTES, json=made)

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, code)
    assert await timeline(hubspot) == []


async def test_a_note_with_the_inverse_association_is_taken_and_nobody_sees_it(
    hubspot: httpx.AsyncClient, ada: str
) -> None:
    answer = await hubspot.post(NOTES, json=note(ada, kind=201))

    assert answer.status_code == 201
    assert await timeline(hubspot) == []
    assert [entry["objectId"] for entry in (await hubspot.get("/_simulator/timeline")).json()["results"]] == [None]


async def test_without_trace_ids_one_bad_note_takes_the_whole_call_down(hubspot: httpx.AsyncClient, ada: str) -> None:
    answer = await create_batch(hubspot, note(ada), note("999"))

    assert (answer.status_code, answer.json()["category"]) == (400, "VALIDATION_ERROR")
    assert answer.json()["message"] == "one or more associations are not valid"
    assert await timeline(hubspot) == []


async def test_with_trace_ids_the_good_notes_are_created_and_the_bad_ones_listed(
    hubspot: httpx.AsyncClient, ada: str
) -> None:
    await hubspot.put("/_simulator/settings", json={"result_trace_ids": "all"})
    untimed = note(ada, trace="bad2")
    del untimed["properties"]["hs_timestamp"]
    answer = await create_batch(hubspot, note(ada, trace="good"), note("999", trace="bad1"), untimed)

    assert answer.status_code == 207
    assert [result["objectWriteTraceId"] for result in answer.json()["results"]] == ["good"]
    assert [error["context"] for error in answer.json()["errors"]] == [
        {"objectWriteTraceId": ["bad1"]},
        {"objectWriteTraceId": ["bad2"], "properties": ["hs_timestamp"]},
    ]
    assert len(await timeline(hubspot)) == 1


async def test_a_batch_has_at_most_a_hundred_notes(hubspot: httpx.AsyncClient, ada: str) -> None:
    assert (await create_batch(hubspot, *[note(ada)] * 101)).status_code == 400
    answer = await create_batch(hubspot, *[note(ada)] * 100)
    assert (answer.status_code, len(answer.json()["results"])) == (201, 100)


async def test_notes_are_read_by_id_until_they_are_archived(hubspot: httpx.AsyncClient, ada: str) -> None:
    created = (await create_batch(hubspot, note(ada, "first"), note(ada, "second"))).json()["results"]
    ids = {result["properties"]["hs_note_body"]: result["id"] for result in created}
    archived = [(await hubspot.delete(f"{NOTES}/{ids['first']}")).status_code for _ in range(2)]
    body = {"properties": ["hs_note_body"], "inputs": [{"id": note_id} for note_id in ids.values()]}
    read = await hubspot.post(f"{NOTES}/batch/read", json=body)

    assert archived == [204, 204]
    assert read.status_code == 207
    assert [result["properties"]["hs_note_body"] for result in read.json()["results"]] == ["second"]
    [error] = read.json()["errors"]
    assert (error["category"], error["context"]) == ("OBJECT_NOT_FOUND", {"ids": [ids["first"]]})
    assert "NOTE objects" in error["message"]
    assert (await hubspot.get(f"{NOTES}/{ids['first']}")).status_code == 404
    assert [entry["id"] for entry in await timeline(hubspot)] == [ids["second"]]
    assert (await hubspot.get("/_simulator/statistics")).json()["notes"] == 1
