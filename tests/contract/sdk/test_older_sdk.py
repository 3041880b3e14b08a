"""HubSpot's older SDK and the simulator, over a real connection: what it refuses to read, HubSpot does not answer."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hubspot.crm import contacts as models
from hubspot.crm.objects import notes as note_models
from hubspot.crm.properties import PropertyCreate
from hubspot.crm.properties.exceptions import ApiException as PropertyException
from hubspot.events import send as event_models

from hubspot_consumer.hubspot.paths import PATHS
from sandbox.hubspot.faults.faults import Fault, RateLimitAnswer, StatusAnswer, When
from sandbox.hubspot.http.auth import CONTACTS_READ, CONTACTS_WRITE
from sandbox.hubspot.records.portal import Portal
from tests.contract.sdk.older_sdk import ADA, GRACE, Sdk, served, take_tour
from tests.samples import PORTAL_ID

# urllib3 warned of what it dropped since, and the SDK calls.
pytestmark = pytest.mark.filterwarnings("ignore:HTTPResponse.getheader:DeprecationWarning")


@pytest.fixture
def url(portal: Portal) -> Iterator[str]:
    with served(portal) as url:
        yield url


@pytest.fixture
def sdk(url: str) -> Iterator[Sdk]:
    sdk = Sdk(url)
    yield sdk
    sdk.close()


def new(email: str, **properties: str) -> Any:
    return models.SimplePublicObjectInputForCreate(associations=[], properties={"email": email, **properties})


def upserts(*inputs: tuple[str, str, dict[str, str]]) -> Any:
    return models.BatchInputSimplePublicObjectBatchInputUpsert(
        inputs=[
            models.SimplePublicObjectBatchInputUpsert(
                id=email, id_property="email", object_write_trace_id=trace, properties=properties
            )
            for email, trace, properties in inputs
        ]
    )


def test_a_contact_is_created_read_by_email_changed_and_archived(sdk: Sdk) -> None:
    contacts = sdk().crm.contacts.basic_api

    created = contacts.create(new("Ada@Example.com", phone="1"))
    read = contacts.get_by_id(ADA, id_property="email", properties=["email", "phone"])
    changed = contacts.update(ADA, models.SimplePublicObjectInput(properties={"phone": "2"}), id_property="email")
    contacts.archive(created.id)

    assert (created.properties["email"], created.properties["lifecyclestage"]) == (ADA, "lead")
    assert (read.id, read.properties["phone"], read.archived) == (created.id, "1", False)
    assert (changed.id, changed.properties["phone"]) == (created.id, "2")
    assert changed.updated_at >= created.created_at
    with pytest.raises(models.exceptions.NotFoundException) as refused:
        contacts.get_by_id(created.id)
    assert (refused.value.status, refused.value.reason) == (404, "Not Found")
    assert json.loads(refused.value.body)["message"] == "resource not found"


def test_a_batch_upsert_creates_one_contact_and_updates_the_other(sdk: Sdk) -> None:
    client = sdk()
    ada = client.crm.contacts.basic_api.create(new(ADA))

    answer = client.crm.contacts.batch_api.upsert(upserts((ADA, "t1", {"phone": "1"}), (GRACE, "t2", {"phone": "2"})))

    results = {result.object_write_trace_id: result for result in answer.results}
    assert answer.status == "COMPLETE"
    assert answer.completed_at >= answer.started_at
    assert (results["t1"].id, results["t1"].new, results["t2"].new) == (ada.id, False, True)


def test_a_partial_success_names_the_input_that_failed(sdk: Sdk) -> None:
    # The specification asks for `links` and `errors` in the errors of a 207; no recording has them.
    batch = sdk(checked=False).crm.contacts.batch_api

    answer = batch.upsert(upserts((ADA, "t1", {"phone": "1"}), (GRACE, "t2", {"no_such": "x"})))

    [error] = answer.errors
    assert (answer.num_errors, [result.id for result in answer.results]) == (1, ["151"])
    assert (error.status, error.category, error.context["objectWriteTraceId"]) == ("error", "VALIDATION_ERROR", ["t2"])
    with pytest.raises(ValueError, match="`links`, must not be `None`"):
        sdk().crm.contacts.batch_api.upsert(upserts((GRACE, "t2", {"no_such": "x"})))


def test_a_batch_read_tells_found_from_missing(sdk: Sdk) -> None:
    client = sdk(checked=False)
    ada = client.crm.contacts.basic_api.create(new(ADA))
    asked = models.BatchReadInputSimplePublicObjectId(
        id_property="email",
        properties=["email"],
        properties_with_history=[],
        inputs=[models.SimplePublicObjectId(id=email) for email in (ADA, GRACE)],
    )

    answer = client.crm.contacts.batch_api.read(asked)

    assert [result.id for result in answer.results] == [ada.id]
    assert [(error.category, error.context) for error in answer.errors] == [("OBJECT_NOT_FOUND", {"ids": [GRACE]})]


def test_a_search_finds_by_a_filter_page_by_page(sdk: Sdk, portal: Portal) -> None:
    portal.change_settings(search_lag_s=0)
    client = sdk()
    for email in (ADA, GRACE):
        client.crm.contacts.basic_api.create(new(email))
    everybody = models.Filter(property_name="email", operator="HAS_PROPERTY")

    def page(after: str | None) -> Any:
        asked = models.PublicObjectSearchRequest(
            filter_groups=[models.FilterGroup(filters=[everybody])], properties=["email"], limit=1, after=after
        )
        return client.crm.contacts.search_api.do_search(asked)

    first = page(None)
    second = page(first.paging.next.after)

    assert (first.total, second.paging) == (2, None)
    assert {result.properties["email"] for result in (*first.results, *second.results)} == {ADA, GRACE}


def test_a_merged_contact_is_found_by_its_old_id(sdk: Sdk) -> None:
    contacts = sdk().crm.contacts.basic_api
    ada, grace = (contacts.create(new(email)) for email in (ADA, GRACE))

    merged = contacts.merge(models.PublicMergeInput(primary_object_id=ada.id, object_id_to_merge=grace.id))

    assert merged.id not in (ada.id, grace.id)
    assert contacts.get_by_id(grace.id, properties=["hs_additional_emails"]).properties["hs_additional_emails"] == GRACE


def test_properties_are_listed_created_and_not_created_twice(sdk: Sdk) -> None:
    properties = sdk().crm.properties.core_api
    seats = PropertyCreate(
        name="seats", label="Seats", type="number", field_type="number", group_name="contactinformation"
    )

    before = properties.get_all("contacts").results
    created = properties.create("contacts", seats)

    assert {"email", "lifecyclestage"} <= {known.name for known in before}
    assert (created.name, created.type, created.field_type) == ("seats", "number", "number")
    assert properties.get_by_name("contacts", "seats").label == "Seats"
    with pytest.raises(PropertyException) as refused:
        properties.create("contacts", seats)
    assert refused.value.status == 409
    assert json.loads(refused.value.body)["subCategory"] == "Properties.PROPERTY_WITH_NAME_EXISTS"


def test_events_are_sent_and_notes_are_left_and_found(sdk: Sdk, portal: Portal) -> None:
    client = sdk()
    portal.event_definitions.add("nova_earned", {"label": "Nova", "includeDefaultProperties": False}, [])
    ada = client.crm.contacts.basic_api.create(new(ADA))

    client.events.send.basic_api.send(
        event_models.BehavioralEventHttpCompletionRequest(
            event_name=f"pe{PORTAL_ID}_nova_earned", object_id=ada.id, uuid="u1", properties={}
        )
    )
    note = client.crm.objects.notes.basic_api.create(
        note_models.SimplePublicObjectInputForCreate(
            properties={"hs_timestamp": "2026-11-24T03:00:00Z", "hs_note_body": "Nova earned"},
            associations=[
                {
                    "to": {"id": ada.id},
                    "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 202}],
                }
            ],
        )
    )
    found = client.crm.associations.v4.basic_api.get_page("contacts", ada.id, "notes")

    assert [str(result.to_object_id) for result in found.results] == [note.id]
    assert len(portal.timeline.of(portal.contacts.by_email(ADA), ADA)) == 2


def test_the_sdk_sends_custom_events_where_our_client_does(sdk: Sdk, portal: Portal) -> None:
    portal.event_definitions.add("nova_earned", {"label": "Nova", "includeDefaultProperties": False}, [])
    occurrence = event_models.BehavioralEventHttpCompletionRequest(
        event_name=f"pe{PORTAL_ID}_nova_earned", email=ADA, uuid="u1", properties={}
    )

    sdk().events.send.batch_api.send(event_models.BatchedBehavioralEventHttpCompletionRequest(inputs=[occurrence]))

    assert portal.log.by_path() == {f"POST {PATHS['v3'].send_events}": {"204": 1}}


def test_the_account_is_asked_for_as_any_other_path(sdk: Sdk) -> None:
    with sdk().api_request({"path": "/account-info/v3/details"}) as answer:
        assert (answer.status_code, answer.json()["portalId"]) == (200, PORTAL_ID)


def test_a_contact_that_exists_is_a_conflict_with_its_id(sdk: Sdk) -> None:
    contacts = sdk().crm.contacts.basic_api
    ada = contacts.create(new(ADA))

    with pytest.raises(models.exceptions.ApiException) as refused:
        contacts.create(new(ADA))

    body = json.loads(refused.value.body)
    assert (refused.value.status, refused.value.reason, body["category"]) == (409, "Conflict", "CONFLICT")
    assert body["message"] == f"Contact already exists. Existing ID: {ada.id}"


def test_a_token_that_is_unknown_or_lacks_a_scope_has_its_exception(sdk: Sdk, portal: Portal) -> None:
    reading = "pat-na1-00000000-0000-4000-8000-000000000001"
    portal.tokens.add(reading, (CONTACTS_READ,))

    with pytest.raises(models.exceptions.UnauthorizedException) as unknown:
        sdk(token="pat-na1-00000000-0000-4000-8000-00000000000e").crm.contacts.basic_api.create(new(ADA))
    with pytest.raises(models.exceptions.ForbiddenException) as lacking:
        sdk(token=reading).crm.contacts.basic_api.create(new(ADA))

    assert json.loads(unknown.value.body)["category"] == "EXPIRED_AUTHENTICATION"
    [needed] = json.loads(lacking.value.body)["errors"]
    assert needed["context"]["requiredGranularScopes"] == [CONTACTS_WRITE]


def test_a_spent_quota_and_an_outage_have_their_exceptions_and_headers(sdk: Sdk, portal: Portal) -> None:
    contacts = sdk().crm.contacts.basic_api
    portal.faults.add(Fault(answer=RateLimitAnswer(), when=When(count=1)))
    portal.faults.add(Fault(answer=StatusAnswer(status=502, style="html")))

    with pytest.raises(models.exceptions.ApiException) as limited:
        contacts.create(new(ADA))
    with pytest.raises(models.exceptions.ServiceException) as away:
        contacts.create(new(ADA))

    assert limited.value.status == 429
    assert json.loads(limited.value.body)["policyName"] == "TEN_SECONDLY_ROLLING"
    assert limited.value.headers["X-HubSpot-RateLimit-Max"] == "100"
    assert away.value.status == 502
    assert "502 Bad Gateway" in away.value.body


def test_the_models_of_the_sdk_read_every_answer(sdk: Sdk, portal: Portal) -> None:
    take_tour(sdk(), portal)

    statuses = {status for by_status in portal.log.by_path().values() for status in by_status}
    assert statuses == {"200", "201", "202", "204"}
