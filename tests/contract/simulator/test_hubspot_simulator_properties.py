"""HubSpot's properties when they change, as the simulator has them."""

from typing import Any

import httpx
import pytest

PROPERTIES = "/crm/properties/2026-03/contacts"
UPSERT = "/crm/objects/2026-03/contacts/batch/upsert"


async def write(hubspot: httpx.AsyncClient, **properties: str) -> httpx.Response:
    inputs = [{"id": "ada@example.com", "idProperty": "email", "properties": properties}]
    return await hubspot.post(UPSERT, json={"inputs": inputs})


def definition(name: str, **more: Any) -> dict[str, Any]:
    return {
        "groupName": "contactinformation",
        "name": name,
        "label": name,
        "type": "string",
        "fieldType": "text",
    } | more


@pytest.fixture
async def role(hubspot: httpx.AsyncClient) -> None:
    """A property that a contact has a value of."""
    assert (await hubspot.post(PROPERTIES, json=definition("role"))).status_code == 201
    assert (await write(hubspot, role="driver")).status_code == 200


async def test_an_archived_property_does_not_exist_until_it_is_created_again(
    hubspot: httpx.AsyncClient, role: None
) -> None:
    archived = await hubspot.delete(f"{PROPERTIES}/role")
    written = await write(hubspot, role="merchant")
    read = await hubspot.get(f"{PROPERTIES}/role")
    listed = (await hubspot.get(f"{PROPERTIES}?archived=true")).json()["results"]
    restored = await hubspot.post(PROPERTIES, json=definition("role"))
    contact = await hubspot.get("/crm/v3/objects/contacts/ada@example.com?idProperty=email&properties=role")

    assert (archived.status_code, read.status_code, restored.status_code) == (204, 404, 201)
    assert written.json()["errors"][0]["code"] == "PROPERTY_DOESNT_EXIST"
    assert [(known["name"], known["archived"]) for known in listed] == [("role", True)]
    assert restored.json()["archived"] is False
    assert contact.json()["properties"]["role"] == "driver"


async def test_hubspots_own_properties_are_neither_archived_nor_redefined(hubspot: httpx.AsyncClient) -> None:
    assert (await hubspot.delete(f"{PROPERTIES}/email")).status_code == 400
    assert (await hubspot.patch(f"{PROPERTIES}/email", json={"label": "E-mail"})).status_code == 400
    assert (await hubspot.delete(f"{PROPERTIES}/nobody")).status_code == 404


async def test_a_property_changes_its_label_and_options_and_not_its_name(
    hubspot: httpx.AsyncClient, role: None
) -> None:
    roles = ("driver", "merchant")
    options = [{"label": role, "value": role, "displayOrder": 0, "hidden": False} for role in roles]
    changes = {"label": "Role", "name": "rank", "type": "enumeration", "fieldType": "select", "options": options}
    changed = await hubspot.patch(f"{PROPERTIES}/role", json=changes)
    refused = await hubspot.patch(f"{PROPERTIES}/role", json={"fieldType": "date"})

    assert (changed.json()["name"], changed.json()["label"]) == ("role", "Role")
    assert (await write(hubspot, role="boss")).json()["errors"][0]["code"] == "INVALID_OPTION"
    assert (await write(hubspot, role="merchant")).status_code == 200
    assert refused.status_code == 400


async def test_a_test_makes_of_a_property_what_somebody_in_the_portal_might_have(
    hubspot: httpx.AsyncClient, role: None
) -> None:
    await hubspot.put("/_simulator/properties/role", json={"type": "number", "fieldType": "number"})
    mismatched = await write(hubspot, role="driver")
    await hubspot.put("/_simulator/properties/role", json={"modificationMetadata": {"readOnlyValue": True}})
    read_only = await write(hubspot, role="5")
    nonsense = await hubspot.put("/_simulator/properties/role", json={"type": "colour"})

    assert mismatched.json()["errors"][0]["code"] == "INVALID_INTEGER"
    assert read_only.json()["errors"][0]["code"] == "READ_ONLY_VALUE"
    assert nonsense.status_code == 422


@pytest.mark.parametrize("path", ["/crm/v3/limits", "/crm/limits/2026-03", "/crm/limits/2026-09"])
async def test_the_portal_tells_how_many_custom_properties_it_has(
    hubspot: httpx.AsyncClient, role: None, path: str
) -> None:
    limits = (await hubspot.get(f"{path}/custom-properties")).json()

    [contacts] = limits["byObjectType"]
    assert (contacts["objectTypeId"], contacts["limit"], contacts["usage"]) == ("0-1", 1_000, 1)
    assert (limits["overallLimit"], limits["overallUsage"]) == (10_000, 1)


async def test_a_property_that_was_archived_is_restored_as_unique_as_it_was(
    hubspot: httpx.AsyncClient, role: None
) -> None:
    await hubspot.delete(f"{PROPERTIES}/role")

    restored = await hubspot.post(PROPERTIES, json=definition("role", hasUniqueValue=True))

    assert restored.json()["hasUniqueValue"] is False


async def test_each_input_of_an_upsert_names_its_contact_in_its_own_way_and_a_value_is_held_by_one(
    hubspot: httpx.AsyncClient,
) -> None:
    await hubspot.post(PROPERTIES, json=definition("user_id", hasUniqueValue=True))
    ids = {}
    for email in ("ada@example.com", "grace@example.com", "lena@example.com"):
        made = await hubspot.post("/crm/v3/objects/contacts", json={"properties": {"email": email, "user_id": email}})
        ids[email] = made.json()["id"]

    inputs = [
        {"id": "ada@example.com", "idProperty": "email"},
        {"id": "grace@example.com", "idProperty": "user_id"},
        {"id": ids["lena@example.com"]},
    ]
    upserted = await hubspot.post(UPSERT, json={"inputs": [one | {"properties": {"phone": "1"}} for one in inputs]})
    by_record_id = {"id": ids["ada@example.com"], "idProperty": "hs_object_id", "properties": {}}
    refused = await hubspot.post(UPSERT, json={"inputs": [by_record_id]})
    held = [{"id": ids["ada@example.com"], "properties": {"user_id": "lena@example.com"}}]
    conflict = await hubspot.post(UPSERT.replace("upsert", "update"), json={"inputs": held})

    assert {result["id"] for result in upserted.json()["results"]} == set(ids.values())
    assert refused.json()["message"] == "Unable to perform upsert by non-unique 0-1 property hs_object_id"
    assert (conflict.status_code, conflict.json()["category"]) == (409, "CONFLICT")
