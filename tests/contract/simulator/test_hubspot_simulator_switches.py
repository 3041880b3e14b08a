"""The switches of the simulator: where nobody outside of HubSpot can tell what a portal does, it does either."""

from typing import Any

import httpx
import pytest

from sandbox.hubspot.records.portal import Portal

CONTACTS = "/crm/objects/2026-03/contacts"
NOTES = "/crm/objects/2026-03/notes"
EVENT = "pe12345_signed_up"
ADA, GRACE = "ada@example.com", "grace@example.com"
RACE = (
    "Cannot set PropertyValueCoordinates{portalId=12345, objectTypeId=ObjectTypeId{legacyObjectType=CONTACT}, "
    "propertyName=email, value=ada@example.com} on 152. 151 already has that value."
)


@pytest.fixture
def portal(portal: Portal) -> Portal:
    """A portal with two contacts, 151 and 152."""
    portal.contacts.create({"email": ADA, "phone": "1"})
    portal.contacts.create({"email": GRACE})
    return portal


def item(email: str, trace: str | None = None, /, **properties: str) -> dict[str, Any]:
    traced = {} if trace is None else {"objectWriteTraceId": trace}
    return {"id": email, "idProperty": "email", "properties": properties, **traced}


async def upsert(hubspot: httpx.AsyncClient, *inputs: dict[str, Any]) -> httpx.Response:
    return await hubspot.post(f"{CONTACTS}/batch/upsert", json={"inputs": inputs})


async def held(hubspot: httpx.AsyncClient, email: str = ADA, *names: str) -> dict[str, Any]:
    answer = await hubspot.get(f"{CONTACTS}/{email}", params={"idProperty": "email", "properties": ",".join(names)})
    return dict(answer.json()["properties"])


@pytest.mark.parametrize(
    ("switch", "status", "phone"), [("keep", 200, "1"), ("blank", 200, None), ("refuse", 400, "1")]
)
async def test_an_upsert_by_email_that_leaves_out_a_value_keeps_it_blanks_it_or_is_refused(
    hubspot: httpx.AsyncClient, portal: Portal, switch: str, status: int, phone: str | None
) -> None:
    portal.change_settings(partial_upsert_by_email=switch)

    answer = await upsert(hubspot, item(ADA, company="Engines"))

    assert answer.status_code == status
    assert (await held(hubspot, ADA, "phone"))["phone"] == phone
    assert status == 200 or "not supported when using email as the idProperty" in answer.json()["message"]


async def test_a_partial_upsert_by_a_unique_property_is_never_refused(
    hubspot: httpx.AsyncClient, portal: Portal
) -> None:
    key = {"name": "key", "label": "Key", "groupName": "contactinformation", "type": "string", "fieldType": "text"}
    await hubspot.post("/crm/properties/2026-03/contacts", json=key | {"hasUniqueValue": True})
    portal.change_settings(partial_upsert_by_email="refuse")
    new = {"id": "k1", "idProperty": "key", "properties": {"email": "mary@example.com", "phone": "5"}}
    known = {"id": "k1", "idProperty": "key", "properties": {"company": "Engines"}}

    created, changed = (await upsert(hubspot, new)).json(), (await upsert(hubspot, known)).json()
    read = await hubspot.post(f"{CONTACTS}/batch/read", json={"idProperty": "key", "inputs": [{"id": "k1"}]})

    assert (created["results"][0]["new"], changed["results"][0]["new"]) == (True, False)
    assert [found["id"] for found in read.json()["results"]] == [created["results"][0]["id"]]
    assert (await held(hubspot, "mary@example.com", "phone"))["phone"] == "5"


async def test_a_property_becomes_unique_only_when_it_is_created_and_at_most_ten_are(
    hubspot: httpx.AsyncClient,
) -> None:
    base = {"label": "Key", "groupName": "contactinformation", "type": "string", "fieldType": "text"}
    properties = "/crm/properties/2026-03/contacts"
    await hubspot.post(properties, json=base | {"name": "plain"})
    changed = await hubspot.patch(f"{properties}/plain", json={"label": "Key", "hasUniqueValue": True})
    made = [base | {"name": f"key_{number}", "hasUniqueValue": True} for number in range(11)]
    eleven = await hubspot.post(f"{properties}/batch/create", json={"inputs": made})
    ten = await hubspot.post(f"{properties}/batch/create", json={"inputs": made[:10]})

    assert changed.json()["hasUniqueValue"] is False
    assert (eleven.status_code, ten.status_code) == (400, 201)
    assert (await hubspot.post(properties, json=made[10])).status_code == 400
    assert (await upsert(hubspot, {"id": "x", "idProperty": "plain", "properties": {}})).status_code == 400


@pytest.mark.parametrize(("switch", "of_upsert", "of_create"), [("all", 1, 1), ("upserts", 1, 0), ("none", 0, 0)])
async def test_results_have_trace_ids_for_all_writes_for_upserts_or_for_none(
    hubspot: httpx.AsyncClient, portal: Portal, switch: str, of_upsert: int, of_create: int
) -> None:
    portal.change_settings(result_trace_ids=switch)
    new = {"properties": {"email": "mary@example.com"}, "objectWriteTraceId": "t"}
    note = {"properties": {"hs_timestamp": "0"}, "objectWriteTraceId": "t"}

    [upserted] = (await upsert(hubspot, item(ADA, "t", phone="2"))).json()["results"]
    others = [
        (await hubspot.post(path, json={"inputs": [given]})).json()["results"][0]
        for path, given in (
            (f"{CONTACTS}/batch/create", new),
            (f"{CONTACTS}/batch/update", {"id": "152", "properties": {"phone": "2"}, "objectWriteTraceId": "t"}),
            (f"{NOTES}/batch/create", note),
        )
    ]

    assert ("objectWriteTraceId" in upserted) == of_upsert
    assert [("objectWriteTraceId" in result) for result in others] == [bool(of_create)] * 3


@pytest.mark.parametrize(("switch", "status", "phone"), [("multi_status", 207, "2"), ("refuse_call", 400, "1")])
async def test_one_bad_input_is_an_item_of_a_207_or_takes_the_call_down(
    hubspot: httpx.AsyncClient, portal: Portal, switch: str, status: int, phone: str
) -> None:
    portal.change_settings(partial_failure=switch)

    answer = await upsert(hubspot, item(ADA, "t1", phone="2"), item(GRACE, "t2", missing="x"))

    assert answer.status_code == status
    assert (await held(hubspot, ADA, "phone"))["phone"] == phone


@pytest.mark.parametrize(("switch", "status"), [("refuse", 400), ("ignore", 200)])
async def test_a_property_that_does_not_exist_is_refused_or_ignored(
    hubspot: httpx.AsyncClient, portal: Portal, switch: str, status: int
) -> None:
    portal.change_settings(unknown_property=switch)

    assert (await upsert(hubspot, item(ADA, missing="x", phone="2"))).status_code == status
    assert (await held(hubspot, ADA, "phone"))["phone"] == ("2" if status == 200 else "1")


@pytest.mark.parametrize(
    ("switch", "status", "field", "value", "item_category"),
    [
        ("contact_exists", 409, "category", "CONFLICT", "CONFLICT"),
        ("already_has_value", 400, "message", RACE, "VALIDATION_ERROR"),
        ("conflicting_unique_value", 400, "category", "VALIDATION_ERROR", "VALIDATION_ERROR"),
        ("unique_value_conflict", 400, "errorType", "UNIQUE_VALUE_CONFLICT", "UNIQUE_VALUE_CONFLICT"),
        ("object_already_exists", 409, "category", "OBJECT_ALREADY_EXISTS", "OBJECT_ALREADY_EXISTS"),
    ],
)
async def test_a_conflict_is_worded_in_one_of_five_ways_alone_and_as_an_item(
    hubspot: httpx.AsyncClient, portal: Portal, switch: str, status: int, field: str, value: str, item_category: str
) -> None:
    portal.change_settings(conflict=switch)

    alone = await upsert(hubspot, item(GRACE, email=ADA))
    [error] = (await upsert(hubspot, item(GRACE, "t1", email=ADA), item(ADA, "t2", phone="2"))).json()["errors"]
    single = await hubspot.patch(f"{CONTACTS}/152", json={"properties": {"email": ADA}})

    assert (alone.status_code, single.status_code) == (status, status)
    assert (alone.json()[field], single.json()[field]) == (value, value)
    assert (error["category"], error["context"]["objectWriteTraceId"]) == (item_category, ["t1"])
    assert "151" in error["message"]


@pytest.mark.parametrize(("switch", "status"), [("refuse", 400), ("accept", 200)])
async def test_an_id_twice_in_a_call_is_refused_or_written_twice(
    hubspot: httpx.AsyncClient, portal: Portal, switch: str, status: int
) -> None:
    portal.change_settings(duplicate_ids=switch)
    new = "mary@example.com"

    answer = await upsert(hubspot, item(new, "t1", phone="2"), item(new.upper(), "t2", company="Engines"))

    assert answer.status_code == status
    assert len(portal.contacts) == (3 if status == 200 else 2)
    if status == 200:
        results = {result["objectWriteTraceId"]: result for result in answer.json()["results"]}
        assert (results["t1"]["new"], results["t2"]["new"]) == (True, False)
        assert (await held(hubspot, new, "phone", "company"))["company"] == "Engines"


@pytest.mark.parametrize(
    ("switch", "statuses", "accepted"), [("drop", 204, 1), ("reject", 400, 1), ("conflict", 409, 1)]
)
async def test_an_event_that_was_sent_before_is_passed_over_or_refused(
    hubspot: httpx.AsyncClient, portal: Portal, switch: str, statuses: int, accepted: int
) -> None:
    portal.change_settings(duplicate_uuid=switch)
    portal.event_definitions.add("signed_up", {"label": "x", "includeDefaultProperties": False}, [])
    event = {"eventName": EVENT, "email": ADA, "uuid": "u1", "properties": {}}

    assert (await hubspot.post("/events/2026-03/send", json=event)).status_code == 204
    assert (await hubspot.post("/events/2026-03/send", json=event)).status_code == statuses
    assert portal.timeline.occurrences == accepted


@pytest.mark.parametrize(("allowed", "status"), [(True, 201), (False, 403)])
async def test_notes_are_allowed_or_not(
    hubspot: httpx.AsyncClient,
    portal: Portal,
    allowed: bool,  # noqa: FBT001 - a parameter
    status: int,
) -> None:
    portal.change_settings(notes=allowed)
    note = {"properties": {"hs_timestamp": "0"}}

    assert (await hubspot.post(NOTES, json=note)).status_code == status
    assert (await hubspot.post(f"{NOTES}/batch/create", json={"inputs": [note]})).status_code == status


@pytest.mark.parametrize("told", [True, False])
async def test_answers_tell_of_the_quota_or_do_not(
    hubspot: httpx.AsyncClient,
    portal: Portal,
    told: bool,  # noqa: FBT001 - a parameter
) -> None:
    portal.change_settings(quota_headers=told)

    answer = await hubspot.get("/account-info/2026-03/details")

    assert any("ratelimit" in name for name in answer.headers) == told


@pytest.mark.parametrize(("switch", "status"), [("expired", 401), ("no_route", 530)])
async def test_a_token_of_the_wrong_form_is_expired_or_leads_nowhere(
    hubspot: httpx.AsyncClient, portal: Portal, switch: str, status: int
) -> None:
    portal.change_settings(malformed_credentials=switch)

    answer = await hubspot.get("/account-info/2026-03/details", headers={"Authorization": "Bearer nonsense"})

    assert answer.status_code == status
    assert (await hubspot.get("/account-info/2026-03/details")).status_code == 200


@pytest.mark.parametrize(("switch", "status"), [("create", 200), ("refuse", 400)])
async def test_a_deleted_contacts_email_is_created_anew_or_refused(
    hubspot: httpx.AsyncClient, portal: Portal, switch: str, status: int
) -> None:
    portal.change_settings(deleted_email=switch)
    await hubspot.post(f"{CONTACTS}/gdpr-delete", json={"objectId": ADA, "idProperty": "email"})

    answer = await upsert(hubspot, item(ADA, phone="2"))

    assert answer.status_code == status
    assert status == 200 or "email has been GDPR blacklisted" in answer.json()["message"]
    assert (await upsert(hubspot, item(GRACE, phone="2"))).status_code == 200


@pytest.mark.parametrize(("switch", "statuses"), [("accept", [200, 204]), ("refuse", [400, 400])])
async def test_microseconds_of_a_time_are_read_or_refused(
    hubspot: httpx.AsyncClient, portal: Portal, switch: str, statuses: list[int]
) -> None:
    portal.change_settings(microseconds=switch)
    portal.event_definitions.add("signed_up", {"label": "x", "includeDefaultProperties": False}, [])
    await hubspot.put("/_simulator/properties/seen", json={"type": "datetime", "fieldType": "date"})
    event = {"eventName": EVENT, "email": ADA, "properties": {}}

    written = await upsert(hubspot, item(ADA, seen="2026-11-24T03:00:00.123456Z"))
    sent = await hubspot.post("/events/2026-03/send", json=event | {"occurredAt": "2026-11-24T03:00:00.123456Z"})

    assert [written.status_code, sent.status_code] == statuses
    assert (await upsert(hubspot, item(ADA, seen="2026-11-24T03:00:00.123Z"))).status_code == 200


@pytest.mark.parametrize("path", ["/crm/v3/limits", "/crm/limits/2026-03", "/crm/limits/2026-09"])
async def test_the_portal_tells_how_many_contacts_it_has_and_may_have(
    hubspot: httpx.AsyncClient, portal: Portal, path: str
) -> None:
    portal.change_settings(contact_limit=4)

    [contacts] = (await hubspot.get(f"{path}/records")).json()["hubspotDefinedObjectTypes"]

    assert (contacts["objectTypeId"], contacts["usage"], contacts["limit"]) == ("0-1", 2, 4)
    assert contacts["percentage"] == 50
