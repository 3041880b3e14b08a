"""Who is who in HubSpot after merging, archiving and deleting, as the simulator has it."""

from typing import Any

import httpx
import pytest

CONTACTS = "/crm/objects/2026-03/contacts"
EVENT = "pe12345_signed_up"


async def create(hubspot: httpx.AsyncClient, email: str, **properties: str) -> str:
    answer = await hubspot.post(CONTACTS, json={"properties": {"email": email, **properties}})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def upsert(hubspot: httpx.AsyncClient, email: str, **properties: str) -> dict[str, Any]:
    inputs = [{"id": email, "idProperty": "email", "properties": properties}]
    [result] = (await hubspot.post(f"{CONTACTS}/batch/upsert", json={"inputs": inputs})).json()["results"]
    return dict(result)


async def merge(hubspot: httpx.AsyncClient, primary: str, other: str) -> httpx.Response:
    return await hubspot.post(f"{CONTACTS}/merge", json={"primaryObjectId": primary, "objectIdToMerge": other})


async def leave_traces(hubspot: httpx.AsyncClient, contact_id: str, name: str) -> None:
    """Put an event and a note on a contact's timeline."""
    body = {"name": "signed_up", "label": "x", "includeDefaultProperties": False, "propertyDefinitions": []}
    await hubspot.post("/events/v3/event-definitions", json=body)
    event = {"eventName": EVENT, "objectId": contact_id, "uuid": name, "properties": {}}
    assert (await hubspot.post("/events/v3/send", json=event)).status_code == 204
    types = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 202}]
    note = {
        "properties": {"hs_timestamp": "0", "hs_note_body": name},
        "associations": [{"to": {"id": contact_id}, "types": types}],
    }
    assert (await hubspot.post("/crm/v3/objects/notes", json=note)).status_code == 201


async def test_a_merge_makes_a_contact_with_a_new_id_to_which_the_old_ids_lead(hubspot: httpx.AsyncClient) -> None:
    ada = await create(hubspot, "ada@example.com", phone="1")
    other = await create(hubspot, "a@example.com", phone="2", company="Engines")
    merged = await merge(hubspot, ada, other)

    assert merged.status_code == 200
    survivor = merged.json()
    assert survivor["id"] not in (ada, other)
    properties = survivor["properties"]
    assert (properties["email"], properties["hs_additional_emails"]) == ("ada@example.com", "a@example.com")
    assert (properties["phone"], properties["company"]) == ("1", "Engines")
    assert properties["hs_merged_object_ids"] == f"{ada};{other}"
    for name in (ada, other, survivor["id"], "a@example.com?idProperty=email"):
        assert (await hubspot.get(f"{CONTACTS}/{name}")).json()["id"] == survivor["id"]
    changed = await hubspot.patch(f"{CONTACTS}/{other}", json={"properties": {"phone": "3"}})
    assert (changed.json()["id"], changed.json()["properties"]["phone"]) == (survivor["id"], "3")
    assert (await hubspot.get("/_simulator/contacts")).json()["total"] == 1


async def test_a_merge_keeps_the_primary_id_where_the_switch_says_so(hubspot: httpx.AsyncClient) -> None:
    await hubspot.put("/_simulator/settings", json={"merge_keeps_primary_id": True})
    ada, other = await create(hubspot, "ada@example.com"), await create(hubspot, "a@example.com")

    assert (await merge(hubspot, ada, other)).json()["id"] == ada
    assert (await hubspot.get(f"{CONTACTS}/{other}")).json()["id"] == ada


async def test_an_upsert_by_the_email_of_a_merged_contact_writes_the_survivor(hubspot: httpx.AsyncClient) -> None:
    ada, other = await create(hubspot, "ada@example.com"), await create(hubspot, "a@example.com")
    survivor = (await merge(hubspot, ada, other)).json()["id"]
    result = await upsert(hubspot, "a@example.com", phone="9")

    assert (result["id"], result["new"], result["properties"]["email"]) == (survivor, False, "ada@example.com")


async def test_a_batch_update_leaves_a_merged_away_id_out_of_the_results_without_a_word(
    hubspot: httpx.AsyncClient,
) -> None:
    ada, other = await create(hubspot, "ada@example.com"), await create(hubspot, "a@example.com")
    bob = await create(hubspot, "bob@example.com")
    await merge(hubspot, ada, other)
    inputs = [{"id": named, "properties": {"phone": "5"}} for named in (other, bob)]
    answer = await hubspot.post(f"{CONTACTS}/batch/update", json={"inputs": inputs})

    assert answer.status_code == 200
    assert [result["id"] for result in answer.json()["results"]] == [bob]
    assert "errors" not in answer.json()
    assert (await hubspot.get(f"{CONTACTS}/{ada}?properties=phone")).json()["properties"]["phone"] is None


async def test_merged_contacts_have_one_timeline_in_the_order_of_acceptance(hubspot: httpx.AsyncClient) -> None:
    ada, other = await create(hubspot, "ada@example.com"), await create(hubspot, "a@example.com")
    for contact_id, name in ((ada, "first"), (other, "second"), (ada, "third")):
        await leave_traces(hubspot, contact_id, name)
    survivor = (await merge(hubspot, ada, other)).json()["id"]
    await leave_traces(hubspot, other, "fourth")

    entries = (await hubspot.get("/_simulator/contacts/a@example.com/timeline")).json()["results"]
    assert [entry.get("body") or entry["uuid"] for entry in entries] == [
        name for name in ("first", "second", "third", "fourth") for _ in range(2)
    ]
    assert {entry["objectId"] for entry in entries} == {survivor}
    associated = (await hubspot.get(f"/crm/v4/objects/contacts/{survivor}/associations/notes")).json()
    assert len(associated["results"]) == 4


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"primaryObjectId": "151"}, 400),
        ({"primaryObjectId": "151", "objectIdToMerge": "151"}, 400),
        ({"primaryObjectId": "151", "objectIdToMerge": "999"}, 404),
    ],
)
async def test_a_merge_needs_two_contacts(hubspot: httpx.AsyncClient, body: dict[str, str], status: int) -> None:
    await create(hubspot, "ada@example.com")

    assert (await hubspot.post(f"{CONTACTS}/merge", json=body)).status_code == status


@pytest.mark.parametrize("named", [{"objectId": "Ada@example.com", "idProperty": "email"}, {"objectId": "151"}])
async def test_a_contact_deleted_for_gdpr_is_gone_with_its_notes_until_the_api_creates_it_again(
    hubspot: httpx.AsyncClient, named: dict[str, str]
) -> None:
    ada = await create(hubspot, "ada@example.com", phone="1")
    await leave_traces(hubspot, ada, "trace")
    deleted = await hubspot.post(f"{CONTACTS}/gdpr-delete", json=named)
    gone = [(await hubspot.get(f"{CONTACTS}/{ada}{end}")).status_code for end in ("", "?archived=true")]
    statistics = (await hubspot.get("/_simulator/statistics")).json()

    assert (deleted.status_code, deleted.content) == (204, b"")
    assert gone == [404, 404]
    assert (statistics["contacts"], statistics["notes"], statistics["recreated_after_gdpr_delete"]) == (0, 0, 0)
    again = await upsert(hubspot, "ada@example.com", company="Engines")
    assert again["new"] is True
    assert again["id"] != ada
    assert "phone" not in again["properties"]
    assert (await hubspot.get("/_simulator/statistics")).json()["recreated_after_gdpr_delete"] == 1


async def test_an_unknown_email_is_deleted_for_gdpr_all_the_same_and_an_unknown_id_is_not(
    hubspot: httpx.AsyncClient,
) -> None:
    by_email = {"objectId": "eve@example.com", "idProperty": "email"}
    assert (await hubspot.post(f"{CONTACTS}/gdpr-delete", json=by_email)).status_code == 204
    assert (await hubspot.post(f"{CONTACTS}/gdpr-delete", json={"objectId": "999"})).status_code == 404
    await create(hubspot, "eve@example.com")
    await create(hubspot, "bob@example.com")

    assert (await hubspot.get("/_simulator/statistics")).json()["recreated_after_gdpr_delete"] == 1


async def test_deleting_an_archived_contact_leaves_the_email_to_whoever_has_it_by_now(
    hubspot: httpx.AsyncClient,
) -> None:
    former = await create(hubspot, "ada@example.com")
    await hubspot.delete(f"{CONTACTS}/{former}")
    ada = await create(hubspot, "ada@example.com")

    assert (await hubspot.post(f"{CONTACTS}/gdpr-delete", json={"objectId": former})).status_code == 204
    assert (await hubspot.get(f"{CONTACTS}/ada@example.com?idProperty=email")).json()["id"] == ada


@pytest.mark.parametrize(("switch", "new"), [("create", True), ("restore", False)])
async def test_an_upsert_of_an_archived_contacts_email_creates_or_restores(
    hubspot: httpx.AsyncClient, switch: str, *, new: bool
) -> None:
    await hubspot.put("/_simulator/settings", json={"upsert_of_archived": switch})
    ada = await create(hubspot, "ada@example.com", phone="1")
    await hubspot.delete(f"{CONTACTS}/{ada}")
    result = await upsert(hubspot, "ada@example.com", company="Engines")

    assert (result["new"], result["id"] != ada) == (new, new)
    read = await hubspot.get(f"{CONTACTS}/ada@example.com?idProperty=email&properties=phone")
    assert read.json()["properties"]["phone"] == (None if new else "1")


@pytest.mark.parametrize(
    ("switch", "status", "writes_the_holder"),
    [("conflict", 409, False), ("write_holder", 200, True), ("leave_out_email", 200, False)],
)
async def test_an_upsert_by_a_unique_property_with_the_email_of_another_contact(
    hubspot: httpx.AsyncClient, switch: str, status: int, *, writes_the_holder: bool
) -> None:
    await define_key(hubspot)
    await hubspot.put("/_simulator/settings", json={"upsert_of_taken_email": switch})
    holder = await create(hubspot, "ada@example.com")

    answer = await upsert_by_key(hubspot, "ada@example.com")
    found = await hubspot.post(f"{CONTACTS}/batch/read", json={"idProperty": "key", "inputs": [{"id": "k1"}]})

    assert answer.status_code == status
    if status == 200:
        [written] = answer.json()["results"]
        assert (written["id"] == holder, written["new"]) == (writes_the_holder, not writes_the_holder)
        made = [] if writes_the_holder else [(written["id"], None)]
        assert [(one["id"], one["properties"]["email"]) for one in found.json()["results"]] == made
    read = await hubspot.get(f"{CONTACTS}/ada@example.com?idProperty=email")
    assert read.json()["id"] == holder


@pytest.mark.parametrize(("switch", "found"), [("set", 1), ("left_out", 0)])
async def test_an_upsert_by_a_unique_property_sets_it_or_leaves_it_out_in_a_new_contact(
    hubspot: httpx.AsyncClient, switch: str, found: int
) -> None:
    await define_key(hubspot)
    await hubspot.put("/_simulator/settings", json={"upserted_id": switch})

    await upsert_by_key(hubspot, "ada@example.com")
    read = await hubspot.post(f"{CONTACTS}/batch/read", json={"idProperty": "key", "inputs": [{"id": "k1"}]})

    assert len(read.json()["results"]) == found
    assert (await hubspot.get(f"{CONTACTS}/ada@example.com?idProperty=email")).status_code == 200


async def define_key(hubspot: httpx.AsyncClient) -> None:
    key = {"name": "key", "label": "Key", "groupName": "contactinformation", "type": "string", "fieldType": "text"}
    await hubspot.post("/crm/properties/2026-03/contacts", json=key | {"hasUniqueValue": True})


async def upsert_by_key(hubspot: httpx.AsyncClient, email: str) -> httpx.Response:
    one = {"id": "k1", "idProperty": "key", "properties": {"email": email, "firstname": "Ada"}}
    return await hubspot.post(f"{CONTACTS}/batch/upsert", json={"inputs": [one]})
