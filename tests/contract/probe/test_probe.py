"""The probe against a simulated portal: it finds exactly what is planted, and leaves the portal as it was."""

import copy
from typing import Any

import pytest

from hubspot_consumer.hubspot.paths import ApiVersion
from hubspot_consumer.probe.clean_up import ATTEMPTS
from hubspot_consumer.probe.run import MOST_CALLS, QUESTIONS
from hubspot_consumer.probe.subject import EMAILS, MAIN, MISTYPED
from hubspot_consumer.settings import TimelineSetting
from runtime.endings import CannotGoOn, Misconfigured
from sandbox.hubspot.faults.faults import Fault
from sandbox.hubspot.records.portal import Portal
from tests.contract.probe.probing import Dying, Probed, holdings, probe
from tests.samples import TOKEN

EVERY_QUESTION = {question.name for question in QUESTIONS}
CONFLICTS = {"conflict", "conflict_with_additional_email", "id_property_conflict"}
ID_QUESTIONS = {"id_property_conflict", "id_property_set"}
EVENT_QUESTIONS = {"event_definitions", "event_sending", "duplicate_event"}
CONTACTS_READ = "crm.objects.contacts.read"


@pytest.fixture
def portal(provisioned: Portal) -> Portal:
    """A provisioned portal with a contact of its people."""
    return copy.deepcopy(provisioned)


async def probed(portal: Portal, **options: Any) -> Probed:
    """Probe the portal, which has to be afterwards as it was."""
    before = holdings(portal)
    found = await probe(Dying(portal), **options)
    assert holdings(portal) == before
    assert found.report.left is None
    assert found.calls < 60
    return found


@pytest.mark.parametrize("version", ["v3", "2026-03", "2026-09"])
async def test_a_portal_that_does_all_that_we_rely_on_differs_in_nothing(portal: Portal, version: ApiVersion) -> None:
    found = await probed(portal, version=version)

    assert found.named("as_expected") == EVERY_QUESTION
    assert found.report.leftovers == 0


# What the client copes with, as the probe's question says it: each value is as expected, and can be told apart.
AS_GOOD = [
    ({"result_trace_ids": "all"}, "trace_ids_in_results", "have theirs"),
    ({"conflict": "contact_exists"}, "conflict", "Contact already exists"),
    ({"conflict": "already_has_value"}, "conflict", "already has that value"),
    ({"conflict": "conflicting_unique_value"}, "conflict", "CONFLICTING_UNIQUE_VALUE"),
    ({"conflict": "unique_value_conflict"}, "conflict", "UNIQUE_VALUE_CONFLICT"),
    ({"conflict": "object_already_exists"}, "conflict", "OBJECT_ALREADY_EXISTS"),
    ({"duplicate_uuid": "drop"}, "duplicate_event", "204"),
    ({"duplicate_uuid": "reject"}, "duplicate_event", "400"),
    ({"duplicate_uuid": "conflict"}, "duplicate_event", "409"),
    ({"upsert_of_archived": "create"}, "deleted_contact", "a new contact"),
    ({"upsert_of_archived": "restore"}, "deleted_contact", "is restored"),
    ({"microseconds": "accept"}, "times", "2026-01-02T03:04:05.678Z"),
    ({"upsert_of_taken_email": "write_holder"}, "id_property_conflict", "the contact with the email is written"),
    ({"bad_occurrence": "skip"}, "event_sending", "/events/2026-09/send/batch"),
]


@pytest.mark.parametrize(("changes", "name", "words"), AS_GOOD, ids=[str(changes) for changes, *_ in AS_GOOD])
async def test_what_the_client_copes_with_is_as_expected_and_told(
    portal: Portal, changes: dict[str, Any], name: str, words: str
) -> None:
    portal.change_settings(**changes)

    found = await probed(portal)

    assert found.named("differs") == set()
    assert words in found.what(name)


# Each difference that can be planted, the questions that find it, and those that then can't be told.
DIFFERENT: list[tuple[dict[str, Any], set[str], set[str]]] = [
    ({"moved_paths": {"/account-info/2026-09": "/nowhere"}}, {"api_version"}, set()),
    ({"quota_headers": False}, {"quota_headers"}, set()),
    ({"unknown_ids": "leave_out"}, {"unknown_contacts"}, set()),
    ({"result_trace_ids": "none"}, {"trace_ids_in_results"}, {"results_by_trace_id"}),
    ({"result_trace_ids": "misplaced"}, {"results_by_trace_id"}, set()),
    ({"partial_failure": "refuse_call"}, {"partial_failure"}, {"trace_ids_in_errors"}),
    ({"error_trace_ids": "none"}, {"trace_ids_in_errors"}, set()),
    ({"duplicate_ids": "accept"}, {"duplicate_ids"}, set()),
    ({"partial_upsert_by_email": "refuse"}, {"partial_upsert_by_email"}, set()),
    ({"partial_upsert_by_email": "blank"}, {"partial_upsert_by_email"}, set()),
    ({"unknown_property": "ignore"}, {"unknown_property"}, set()),
    ({"wrong_email": "accept"}, {"wrong_email"}, set()),
    ({"conflict": "other_words"}, CONFLICTS, set()),
    ({"upsert_of_taken_email": "leave_out_email"}, {"id_property_conflict"}, set()),
    ({"upserted_id": "left_out"}, {"id_property_set"}, set()),
    ({"additional_emails": "not_found"}, {"additional_email"}, {"conflict_with_additional_email"}),
    ({"white_space": "refuse"}, {"white_space"}, set()),
    ({"milliseconds": "refuse"}, {"times"}, set()),
    ({"upsert_of_archived": "refuse"}, {"deleted_contact"}, set()),
    ({"moved_paths": {"/events/2026-09": "/events/custom/2026-09"}}, {"event_definitions", "event_sending"}, set()),
    ({"moved_paths": {"/events/2026-09/send": "/events/custom/2026-09/send"}}, {"event_sending"}, set()),
    ({"duplicate_uuid": "other_words"}, {"duplicate_event"}, set()),
    ({"note_associations": "not_found"}, {"notes"}, set()),
    ({"custom_events": False}, set(), EVENT_QUESTIONS),
    ({"notes": False}, set(), {"notes"}),
]


@pytest.mark.parametrize(("changes", "differs", "not_told"), DIFFERENT, ids=[str(changes) for changes, *_ in DIFFERENT])
async def test_a_planted_difference_is_found_and_nothing_else_is(
    portal: Portal, changes: dict[str, Any], differs: set[str], not_told: set[str]
) -> None:
    portal.change_settings(**changes)

    found = await probed(portal)

    assert (found.named("differs"), found.named("not_told")) == (differs, not_told)


async def test_several_differences_at_once_are_all_found(portal: Portal) -> None:
    portal.change_settings(
        quota_headers=False, duplicate_ids="accept", partial_upsert_by_email="refuse", conflict="other_words"
    )

    found = await probed(portal)

    assert found.named("differs") == CONFLICTS | {"quota_headers", "duplicate_ids", "partial_upsert_by_email"}


async def test_answers_that_are_pending_confirm_nothing(portal: Portal) -> None:
    portal.change_settings(batch_status="PENDING")

    found = await probed(portal)

    assert found.named("differs") >= {"batch_results"}
    assert found.named("as_expected") >= {"api_version", "quota_headers", "event_definitions"}


async def test_every_question_can_differ() -> None:
    named = set().union(*(differs for _, differs, _ in DIFFERENT)) | {"batch_results"}

    assert named == EVERY_QUESTION


@pytest.mark.parametrize(
    ("timeline", "not_asked"),
    [("off", EVENT_QUESTIONS | {"notes"}), ("notes", EVENT_QUESTIONS), ("custom_events", {"notes"})],
)
async def test_entries_that_the_settings_do_not_want_are_not_asked_about(
    portal: Portal, timeline: TimelineSetting, not_asked: set[str]
) -> None:
    found = await probed(portal, timeline=timeline)

    assert found.named("not_told") == not_asked
    assert all("HUBSPOT_TIMELINE" in found.what(name) for name in not_asked)


async def test_a_portal_that_is_not_provisioned_is_told_apart(portal: Portal) -> None:
    for name in [name for name in portal.schema.properties if name.startswith("nerava_")]:
        portal.schema.archive(name)
    portal.event_definitions.by_name.clear()

    found = await probed(portal)

    assert found.named("differs") == set()
    assert found.named("not_told") == {"white_space", "times", "duplicate_event"} | ID_QUESTIONS
    assert "not asked: no definitions" in found.what("duplicate_event")


async def test_a_property_that_the_portal_lacks_or_that_is_not_unique_is_not_asked_about(portal: Portal) -> None:
    for name, why in (
        ("email", "not asked: HUBSPOT_ID_PROPERTY is email"),
        ("phone", "not asked: no contact can be read by phone: 400"),
        ("nobodys_property", "not asked: no contact can be read by nobodys_property: 400"),
    ):
        found = await probed(portal, id_property=name)

        assert (found.named("differs"), found.named("not_told")) == (set(), ID_QUESTIONS)
        assert all(found.what(question).startswith(why) for question in ID_QUESTIONS)


async def test_a_second_probe_finds_the_same_and_sends_its_events_with_another_id(portal: Portal) -> None:
    portal.change_settings(duplicate_uuid="reject")
    first, second = await probed(portal), await probed(portal)

    assert first.named("as_expected") == second.named("as_expected") == EVERY_QUESTION
    assert portal.timeline.occurrences == 2


@pytest.mark.parametrize("switch", ["create", "restore"])
async def test_a_second_probe_finds_the_same_where_deleted_contacts_come_back(portal: Portal, switch: str) -> None:
    portal.change_settings(upsert_of_archived=switch)
    await probed(portal)

    assert (await probed(portal)).named("as_expected") == EVERY_QUESTION


async def test_a_contact_of_a_person_with_one_of_the_emails_as_an_additional_one_is_left_alone(portal: Portal) -> None:
    portal.contacts.create({"email": "grace@example.com", "hs_additional_emails": EMAILS[-2]})

    found = await probed(portal)

    assert found.report.leftovers == 0


async def test_what_cannot_be_deleted_is_told(portal: Portal) -> None:
    portal.faults.add(Fault.model_validate({"match": {"path": "contacts/batch/archive"}, "answer": {"kind": "silent"}}))

    found = await probe(Dying(portal))

    assert found.report.left is not None
    assert "still has test contacts" in found.report.left.detail
    assert found.calls <= MOST_CALLS


async def test_the_worst_portal_needs_fewer_than_sixty_calls(portal: Portal) -> None:
    """All alternative paths are tried, notes are looked for again, leftovers are there, and no deletion takes effect
    at the end.
    """
    portal.contacts.create({"email": MAIN})
    portal.change_settings(
        moved_paths={f"/events/{version}/send": f"/{version}" for version in ("v3", "2026-03", "2026-09")}
        | {f"/events/{version}/event-definitions": f"/definitions/{version}" for version in ("v3", "2026-09")},
        note_associations="not_found",
    )
    refusing = {"match": {"path": "contacts/batch/read", "text": MISTYPED}, "answer": {"kind": "status", "status": 400}}
    portal.faults.add(Fault.model_validate(refusing))
    # The first call deletes the leftovers, and the second one is what a question asks. A rule counts no call that
    # another one before it answers.
    failing = {"match": {"path": "contacts/batch/archive"}, "answer": {"kind": "silent"}, "when": {"nth": 3}}
    for _ in range(ATTEMPTS):
        portal.faults.add(Fault.model_validate(failing))

    found = await probe(Dying(portal))

    assert found.report.left is not None
    assert found.calls <= MOST_CALLS < 60


async def test_a_token_without_a_scope_or_of_another_portal_asks_nothing(portal: Portal) -> None:
    portal.tokens.add(TOKEN, (CONTACTS_READ,))
    before = holdings(portal)

    with pytest.raises(CannotGoOn, match=r"test contacts can't be created or read: 403 .*crm.objects.contacts.write"):
        await probe(Dying(portal))

    other = Portal(54_321, [TOKEN])
    with pytest.raises(Misconfigured, match="HUBSPOT_PORTAL_ID is 12345, but the token belongs to portal 54321"):
        await probe(Dying(other))
    assert holdings(portal) == before
    assert len(other.contacts) == 0


async def test_a_day_whose_calls_are_nearly_spent_is_no_day_for_a_probe(portal: Portal) -> None:
    portal.change_settings(daily_limit=portal.quota.used_today(portal.settings) + 2)

    with pytest.raises(CannotGoOn, match="calls are left"):
        await probe(Dying(portal))
    assert len(portal.contacts) == 1


async def test_an_outage_in_the_middle_is_told_and_everything_is_deleted(portal: Portal) -> None:
    broken = {"answer": {"kind": "status", "status": 502, "style": "html"}, "match": {"path": "notes/batch/create"}}
    portal.faults.add(Fault.model_validate(broken))

    found = await probed(portal)

    [(question, notes)] = [(question, found) for question, found in found.report.found if found.told == "not_told"]
    assert question.name == "notes"
    assert notes.try_again


async def test_a_portal_that_refuses_to_look_for_an_address_that_cannot_exist_is_probed_all_the_same(
    portal: Portal,
) -> None:
    refusing = {"match": {"path": "contacts/batch/read", "text": MISTYPED}, "answer": {"kind": "status", "status": 400}}
    portal.faults.add(Fault.model_validate(refusing))

    found = await probed(portal)

    assert found.named("differs") == {"unknown_contacts"}
    assert found.named("not_told") == set()
