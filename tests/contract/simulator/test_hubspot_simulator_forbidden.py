"""What HubSpot's specification forbids, the simulator refuses, so that no call of ours that only it takes is green."""

from typing import Any

import httpx
import pytest

from sandbox.hubspot.records.portal import Portal

CONTACTS = "/crm/objects/2026-03/contacts"
NOTES = "/crm/objects/2026-03/notes"
PROPERTIES = "/crm/properties/2026-03/contacts"
DEFINITIONS = "/events/2026-03/event-definitions"
ADA = "ada@example.com"
TYPE = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 202}
OPTION = {"label": "a", "value": "a", "displayOrder": 0, "hidden": False}
LEVEL = {
    "name": "level",
    "label": "Level",
    "groupName": "contactinformation",
    "type": "enumeration",
    "fieldType": "select",
    "options": [OPTION],
}
WON = {"label": "Won", "includeDefaultProperties": False, "propertyDefinitions": [{"label": "x", "type": "string"}]}


def without(body: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key != name}


@pytest.fixture
def portal(portal: Portal) -> Portal:
    """A portal with one contact, 151."""
    portal.contacts.create({"email": ADA})
    return portal


@pytest.mark.parametrize(
    "item",
    [
        {"idProperty": "email", "properties": {"firstname": "x"}},
        {"id": None, "idProperty": "email", "properties": {"firstname": "x"}},
        {"id": "", "idProperty": "email", "properties": {"firstname": "x"}},
        {"id": "no email", "idProperty": "email", "properties": {"firstname": "x"}},
        {"id": "mary@example.com", "idProperty": "email"},
        {"id": "mary@example.com", "idProperty": "email", "properties": None},
        {"id": "mary@example.com", "idProperty": "email", "properties": {"phone": ["1"]}},
        5,
        None,
    ],
)
async def test_an_upsert_needs_an_id_and_properties(hubspot: httpx.AsyncClient, portal: Portal, item: Any) -> None:
    assert (await hubspot.post(f"{CONTACTS}/batch/upsert", json={"inputs": [item]})).status_code == 400
    assert len(portal.contacts) == 1


@pytest.mark.parametrize("action", ["upsert", "update", "read", "create", "archive"])
@pytest.mark.parametrize("inputs", [5, "x", {"id": "151"}, True])
async def test_inputs_are_a_list(hubspot: httpx.AsyncClient, action: str, inputs: Any) -> None:
    for path in (CONTACTS, PROPERTIES) if action == "create" else (CONTACTS,):
        assert (await hubspot.post(f"{path}/batch/{action}", json={"inputs": inputs})).status_code == 400


@pytest.mark.parametrize("action", ["update", "read", "archive"])
async def test_a_batch_needs_ids(hubspot: httpx.AsyncClient, action: str) -> None:
    items: list[dict[str, Any]] = [{"id": None, "properties": {}}, {"properties": {}}]
    for item in items:
        assert (await hubspot.post(f"{CONTACTS}/batch/{action}", json={"inputs": [item]})).status_code == 400


@pytest.mark.parametrize(
    "association",
    [
        {"to": {"id": "151"}},
        {"to": {"id": "151"}, "types": []},
        {"to": {"id": None}, "types": [TYPE]},
        {"to": {}, "types": [TYPE]},
        {"types": [TYPE]},
        {"to": {"id": "151"}, "types": [without(TYPE, "associationCategory")]},
        {"to": {"id": "151"}, "types": [without(TYPE, "associationTypeId")]},
        "151",
    ],
)
async def test_an_association_names_a_record_and_types(
    hubspot: httpx.AsyncClient, portal: Portal, association: Any
) -> None:
    note = {"properties": {"hs_timestamp": "0"}, "associations": [association]}
    contact = {"properties": {"email": "mary@example.com"}, "associations": [association]}

    for path, body in ((NOTES, note), (CONTACTS, contact)):
        assert (await hubspot.post(path, json=body)).status_code == 400
        assert (await hubspot.post(f"{path}/batch/create", json={"inputs": [body]})).status_code == 400
    assert (len(portal.notes), len(portal.contacts)) == (0, 1)


@pytest.mark.parametrize("lacking", OPTION)
async def test_an_option_has_four_fields(hubspot: httpx.AsyncClient, lacking: str) -> None:
    lame = LEVEL | {"options": [without(OPTION, lacking)]}
    event = WON | {
        "propertyDefinitions": [{"label": "x", "type": "enumeration", "options": [without(OPTION, lacking)]}]
    }

    assert (await hubspot.post(PROPERTIES, json=lame)).status_code == 400
    assert (await hubspot.post(f"{PROPERTIES}/batch/create", json={"inputs": [lame]})).status_code == 400
    assert (await hubspot.post(DEFINITIONS, json=event)).status_code == 400
    assert (await hubspot.post(PROPERTIES, json=LEVEL)).status_code == 201
    assert (await hubspot.patch(f"{PROPERTIES}/level", json={"options": lame["options"]})).status_code == 400


@pytest.mark.parametrize("lacking", WON)
async def test_an_event_definition_has_three_required_fields(hubspot: httpx.AsyncClient, lacking: str) -> None:
    assert (await hubspot.post(DEFINITIONS, json=without(WON, lacking))).status_code == 400


@pytest.mark.parametrize("lacking", ["label", "type"])
async def test_a_property_of_an_event_has_a_label_and_a_type(hubspot: httpx.AsyncClient, lacking: str) -> None:
    lame = without({"label": "Score", "type": "number"}, lacking)
    await hubspot.post(DEFINITIONS, json=WON)

    assert (await hubspot.post(DEFINITIONS, json=WON | {"propertyDefinitions": [lame]})).status_code == 400
    assert (await hubspot.post(f"{DEFINITIONS}/won/property", json=lame)).status_code == 400


@pytest.mark.parametrize(("primary", "status"), [("CONTACT", 201), (None, 201), ("DEAL", 201), ("ROCKET", 400)])
async def test_an_event_belongs_to_a_kind_of_record(hubspot: httpx.AsyncClient, primary: Any, status: int) -> None:
    assert (await hubspot.post(DEFINITIONS, json=WON | {"primaryObject": primary})).status_code == status


async def test_a_definition_changes_its_texts_and_its_name_is_never_free_again(hubspot: httpx.AsyncClient) -> None:
    await hubspot.post(DEFINITIONS, json=WON)
    changes = {"label": "Won it", "headerTemplate": "Won {{ x }}", "detailTemplate": "x: {{ x }}", "name": "lost"}
    older = await hubspot.patch(f"{DEFINITIONS}/won", json=changes)
    changed = await hubspot.patch("/events/2026-09/event-definitions/won", json=changes)
    deleted = await hubspot.delete(f"{DEFINITIONS}/won")

    shown = changed.json()
    assert (older.status_code, "headerTemplate" in older.json()) == (201, False), "2026-03 has no cards"
    assert (changed.status_code, shown["name"], shown["headerTemplate"]) == (201, "won", "Won {{ x }}")
    assert (shown["labels"], shown["properties"][0]["name"]) == ({"singular": "Won it"}, "x")
    assert (deleted.status_code, (await hubspot.post(DEFINITIONS, json=WON)).status_code) == (204, 409)


@pytest.mark.parametrize("number", ["²", "٣", "-1", "x", "9" * 30])
async def test_what_is_no_number_is_not_taken_for_one(hubspot: httpx.AsyncClient, number: str) -> None:
    listed = await hubspot.get(DEFINITIONS, params={"limit": number})
    page = await hubspot.post(f"{CONTACTS}/search", json={"after": number})
    notes = {"inputs": [{"id": "151", "after": number}]}
    read = await hubspot.post("/crm/associations/2026-03/contacts/notes/batch/read", json=notes)

    assert (listed.status_code, page.status_code, read.status_code) == (200, 400, 207)


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [("number", "number", " 5"), ("date", "date", " 2026-01-01 "), ("enumeration", "select", "a ")],
)
async def test_white_space_around_a_value_is_taken_and_dropped(
    hubspot: httpx.AsyncClient, kind: str, field: str, value: str
) -> None:
    options = [OPTION] if kind == "enumeration" else []
    definition = LEVEL | {"type": kind, "fieldType": field, "options": options}
    assert (await hubspot.post(PROPERTIES, json=definition)).status_code == 201
    changed = await hubspot.patch(f"{CONTACTS}/151", json={"properties": {"level": value, "lastname": " L "}})

    assert changed.status_code == 200
    assert (changed.json()["properties"]["level"], changed.json()["properties"]["lastname"]) == (value.strip(), " L ")


@pytest.mark.parametrize(("text", "status"), [("😀" * 128, 204), ("😀" * 129, 400)])
async def test_the_length_of_a_value_is_counted_in_units_of_utf_16(
    hubspot: httpx.AsyncClient, text: str, status: int
) -> None:
    await hubspot.post(DEFINITIONS, json=WON)
    event = {"eventName": "pe12345_won", "email": ADA, "properties": {"x": text}}

    assert (await hubspot.post("/events/2026-03/send", json=event)).status_code == status


async def test_reading_associations_spends_the_day_and_not_the_window(
    hubspot: httpx.AsyncClient, portal: Portal
) -> None:
    portal.change_settings(quota=1, daily_limit=3)
    inputs = [{"id": str(number)} for number in range(1_000)]
    path = "/crm/associations/2026-03/contacts/notes/batch/read"

    answers = [(await hubspot.post(path, json={"inputs": inputs})) for _ in range(4)]

    assert [answer.status_code for answer in answers] == [207, 207, 207, 429]
    assert answers[-1].json()["policyName"] == "DAILY"
