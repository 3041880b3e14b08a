"""HubSpot's properties and custom events, as the simulator has them."""

from typing import Any

import httpx
import pytest

PROPERTIES = "/crm/v3/properties/contacts"
DEFINITIONS = "/events/2026-03/event-definitions"
SEND = "/events/2026-03/send"
EARNED = "pe12345_nova_earned"


def definition(name: str, kind: str = "string", field: str = "text", **more: Any) -> dict[str, Any]:
    return {"groupName": "nerava", "name": name, "label": name, "type": kind, "fieldType": field, **more}


def options(*values: str) -> list[dict[str, Any]]:
    return [{"label": value, "value": value, "displayOrder": 0, "hidden": False} for value in values]


@pytest.fixture
async def group(hubspot: httpx.AsyncClient) -> None:
    answer = await hubspot.post(f"{PROPERTIES}/groups", json={"name": "nerava", "label": "Nerava"})
    assert answer.status_code == 201


@pytest.fixture
async def earned(hubspot: httpx.AsyncClient) -> None:
    body = {
        "name": "nova_earned",
        "label": "Nova earned",
        "primaryObject": "CONTACT",
        "includeDefaultProperties": False,
        "propertyDefinitions": [{"name": "amount", "label": "Amount", "type": "number"}],
    }
    answer = await hubspot.post(DEFINITIONS, json=body)
    assert (answer.status_code, answer.json()["fullyQualifiedName"]) == (201, EARNED)
    assert (await hubspot.post(DEFINITIONS, json=body)).status_code == 409


def occurrence(uuid: str, **more: Any) -> dict[str, Any]:
    body = {"eventName": EARNED, "email": "ada@example.com", "uuid": uuid, "properties": {"amount": "5"}}
    return body | {"occurredAt": "2026-11-24T03:00:00.000Z"} | more


async def test_a_property_exists_for_contacts_once_it_is_created(hubspot: httpx.AsyncClient, group: None) -> None:
    inputs = {"inputs": [{"id": "a@example.com", "idProperty": "email", "properties": {"nova_total": "5"}}]}
    before = await hubspot.post("/crm/v3/objects/contacts/batch/upsert", json=inputs)
    created = await hubspot.post(PROPERTIES, json=definition("nova_total", "number", "number"))
    after = await hubspot.post("/crm/v3/objects/contacts/batch/upsert", json=inputs)

    assert (before.status_code, created.status_code, after.status_code) == (400, 201, 200)
    assert (await hubspot.get(f"{PROPERTIES}/nova_total")).json()["modificationMetadata"]["readOnlyValue"] is False
    assert (await hubspot.get(f"{PROPERTIES}/nobody")).json()["category"] == "OBJECT_NOT_FOUND"
    assert "nova_total" in [known["name"] for known in (await hubspot.get(PROPERTIES)).json()["results"]]


async def test_an_existing_property_conflicts_alone_and_within_a_batch(hubspot: httpx.AsyncClient, group: None) -> None:
    await hubspot.post(PROPERTIES, json=definition("role"))
    single = await hubspot.post(PROPERTIES, json=definition("role"))
    batch = await hubspot.post(
        f"{PROPERTIES}/batch/create", json={"inputs": [definition("role"), definition("merchant")]}
    )

    assert single.status_code == 409
    assert single.json()["message"] == "A property named 'role' already exists."
    assert single.json()["subCategory"] == "Properties.PROPERTY_WITH_NAME_EXISTS"
    assert batch.status_code == 207
    assert [created["name"] for created in batch.json()["results"]] == ["merchant"]
    assert batch.json()["errors"][0]["context"] == {"name": ["role"]}


@pytest.mark.parametrize(
    "bad",
    [
        definition("a", "number", "text"),
        definition("a", "enumeration", "select"),
        definition("a", "bool", "booleancheckbox", options=options("yes", "no")),
        definition("a") | {"groupName": "nobody"},
        definition("Not A Name"),
        {"name": "a"},
    ],
)
async def test_a_definition_that_makes_no_sense_is_refused(
    hubspot: httpx.AsyncClient, group: None, bad: dict[str, Any]
) -> None:
    assert (await hubspot.post(PROPERTIES, json=bad)).status_code == 400
    batch = await hubspot.post(f"{PROPERTIES}/batch/create", json={"inputs": [definition("good"), bad]})
    assert batch.status_code == 400
    assert (await hubspot.get(f"{PROPERTIES}/good")).status_code == 404


async def test_a_property_with_unique_values_names_contacts(hubspot: httpx.AsyncClient, group: None) -> None:
    await hubspot.post(PROPERTIES, json=definition("user_id", hasUniqueValue=True))
    inputs = [{"id": "usr_1", "idProperty": "user_id", "properties": {"email": "a@example.com"}}]
    first = await hubspot.post("/crm/v3/objects/contacts/batch/upsert", json={"inputs": inputs})
    inputs[0]["properties"] = {"phone": "1"}
    second = await hubspot.post("/crm/v3/objects/contacts/batch/upsert", json={"inputs": inputs})
    other = await hubspot.post(
        "/crm/v3/objects/contacts/batch/upsert", json={"inputs": [inputs[0] | {"idProperty": "phone"}]}
    )

    assert first.json()["results"][0]["id"] == second.json()["results"][0]["id"]
    assert other.json()["message"] == "Unable to perform upsert by non-unique 0-1 property phone"


async def test_an_occurrence_is_accepted_with_204_and_is_on_the_contacts_timeline(
    hubspot: httpx.AsyncClient, earned: None
) -> None:
    contact = (await hubspot.post("/crm/v3/objects/contacts", json={"properties": {"email": "ada@example.com"}})).json()
    single = await hubspot.post(SEND, json=occurrence("u1"))
    by_id = {**occurrence("u2"), "objectId": contact["id"]}
    batch = await hubspot.post(f"{SEND}/batch", json={"inputs": [by_id]})

    assert (single.status_code, single.content, batch.status_code, batch.content) == (204, b"", 204, b"")
    entries = (await hubspot.get("/_simulator/contacts/Ada@example.com/timeline")).json()["results"]
    assert [entry["uuid"] for entry in entries] == ["u1", "u2"]
    assert {entry["objectId"] for entry in entries} == {contact["id"]}
    assert entries[0]["occurredAt"] == "2026-11-24T03:00:00.000Z"


async def test_an_occurrence_for_an_unknown_email_is_accepted_and_creates_no_contact(
    hubspot: httpx.AsyncClient, earned: None
) -> None:
    assert (await hubspot.post(SEND, json=occurrence("u1"))).status_code == 204

    [entry] = (await hubspot.get("/_simulator/contacts/ada@example.com/timeline")).json()["results"]
    assert entry["objectId"] is None
    assert (await hubspot.get("/_simulator/contacts")).json()["total"] == 0


async def test_a_uuid_counts_once_within_its_event_type(hubspot: httpx.AsyncClient, earned: None) -> None:
    inputs = [occurrence("u1"), occurrence("u1"), occurrence("u2")]
    for _ in range(2):
        assert (await hubspot.post(f"{SEND}/batch", json={"inputs": inputs})).status_code == 204

    timeline = (await hubspot.get("/_simulator/timeline")).json()
    assert ([entry["uuid"] for entry in timeline["results"]], timeline["duplicates"]) == (["u1", "u2"], 4)


async def test_a_known_uuid_is_refused_where_the_switch_says_so(hubspot: httpx.AsyncClient, earned: None) -> None:
    await hubspot.put("/_simulator/settings", json={"duplicate_uuid": "reject"})
    await hubspot.post(SEND, json=occurrence("u1"))
    answer = await hubspot.post(f"{SEND}/batch", json={"inputs": [occurrence("u1"), occurrence("u2")]})

    assert answer.status_code == 400
    assert "already exists" in answer.json()["message"]
    assert (await hubspot.get("/_simulator/timeline")).json()["total"] == 1


@pytest.mark.parametrize(
    "bad",
    [
        {"eventName": "nova_earned"},
        {"eventName": "pe12345_unknown"},
        {"properties": {"unknown": "1"}},
        {"properties": {"amount": "5" * 257}},
        {"properties": {f"p{number}": "1" for number in range(51)}},
        {"occurredAt": "yesterday"},
        {"email": None},
    ],
)
async def test_one_bad_occurrence_takes_its_whole_call_down(
    hubspot: httpx.AsyncClient, earned: None, bad: dict[str, Any]
) -> None:
    inputs = [occurrence("u1"), occurrence("u2") | bad]
    answer = await hubspot.post(f"{SEND}/batch", json={"inputs": inputs})

    assert (answer.status_code, answer.json()["category"]) == (400, "VALIDATION_ERROR")
    assert (await hubspot.get("/_simulator/timeline")).json()["total"] == 0


async def test_a_call_sends_at_most_500_occurrences(hubspot: httpx.AsyncClient, earned: None) -> None:
    inputs = [occurrence(str(number)) for number in range(501)]

    assert (await hubspot.post(f"{SEND}/batch", json={"inputs": inputs})).status_code == 400
    assert (await hubspot.post(f"{SEND}/batch", json={"inputs": inputs[:500]})).status_code == 204


async def test_a_property_can_be_added_to_an_event(hubspot: httpx.AsyncClient, earned: None) -> None:
    added = {"name": "session_id", "label": "Session", "type": "string"}
    assert (await hubspot.post(f"{DEFINITIONS}/{EARNED}/property", json=added)).status_code == 201
    assert (await hubspot.post(SEND, json=occurrence("u", properties={"session_id": "s"}))).status_code == 204
    shown = (await hubspot.get(f"{DEFINITIONS}/nova_earned")).json()
    assert [known["name"] for known in shown["properties"]] == ["amount", "session_id"]


async def test_an_unknown_definition_is_a_400(hubspot: httpx.AsyncClient) -> None:
    answer = await hubspot.get(f"{DEFINITIONS}/custom_event_1")

    assert answer.status_code == 400
    assert "Event with fully qualified name custom_event_1 does not exist." in answer.json()["message"]


async def test_a_tier_without_custom_events_refuses_definitions_and_sending(
    hubspot: httpx.AsyncClient, earned: None
) -> None:
    await hubspot.put("/_simulator/settings", json={"custom_events": False})

    assert (await hubspot.get(DEFINITIONS)).status_code == 403
    assert (await hubspot.post(f"{SEND}/batch", json={"inputs": [occurrence("u1")]})).status_code == 403
    assert (await hubspot.post(SEND, json=occurrence("u1"))).json()["category"] == "MISSING_SCOPES"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/crm/v3/objects/contacts/151", 404),
        ("/events/v3/event-definitions", 200),
        ("/events/2026-03/event-definitions", 200),
        ("/events/2026-09/event-definitions", 200),
        ("/events/custom/2026-03/event-definitions", 404),
        ("/events/custom/2026-09/event-definitions", 404),
        ("/crm/properties/2026-09/0-1", 200),
        ("/crm/properties/2025-01/contacts", 404),
        ("/crm/v4/properties/contacts", 404),
    ],
)
async def test_a_path_exists_in_the_versions_that_have_it(hubspot: httpx.AsyncClient, path: str, status: int) -> None:
    answer = await hubspot.get(path)

    assert answer.status_code == status
    if path.endswith("151"):
        assert answer.json()["message"] == "resource not found"
