"""The probe's questions about HUBSPOT_ID_PROPERTY, with answers made by hand."""

import asyncio

import pytest

from hubspot_consumer.hubspot.outcomes import RetryLater
from hubspot_consumer.probe.subject import KEYED, MAIN, OTHER, Subject
from tests.clock import OwnedClock
from tests.samples import ID_PROPERTY, PORTAL_ID
from tests.unit.hubspot_consumer.probe.test_questions import (
    FORBIDDEN,
    PATH,
    READ,
    UPSERT,
    Script,
    asked,
    invalid,
    result,
    told,
)

UNKNOWN = (READ, 207, {"results": [], "errors": [{"category": "OBJECT_NOT_FOUND", "context": {"ids": [KEYED]}}]})
WRITTEN = (UPSERT, 200, {"results": [result("probe-keyed", KEYED, "3")]})


def subject_of(*answers: tuple[str, int, object], id_property: str = ID_PROPERTY) -> Subject:
    subject = Subject(Script(*answers), PATH, PORTAL_ID, "auto", OwnedClock(), id_property)
    subject.ids = {MAIN: "1", OTHER: "2"}
    return subject


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (409, {"category": "CONFLICT", "message": "Contact already exists. Existing ID: 1"}, "as_expected"),
        (400, invalid("Cannot set … on a new contact. 1 already has that value."), "as_expected"),
        (200, {"results": [result("probe-by-property", MAIN, "1")]}, "as_expected"),
        (200, {"results": [result("probe-by-property", "", "3")]}, "differs"),
        (400, invalid("The value of the property email is taken."), "differs"),
        (400, invalid("Unable to perform upsert by non-unique 0-1 property nerava_key"), "not_told"),
        (*FORBIDDEN, "not_told"),
        (502, None, "not_told"),
    ],
)
def test_a_contact_without_the_property_is_a_conflict_or_is_written(status: int, body: object, outcome: str) -> None:
    assert told(asked("id_property_conflict", subject_of((UPSERT, status, body)))) == outcome


@pytest.mark.parametrize(
    ("answers", "outcome", "words"),
    [
        (
            [WRITTEN, (READ, 200, {"results": [result(None, KEYED, "3", **{ID_PROPERTY: KEYED})]})],
            "as_expected",
            "the contact has both",
        ),
        ([WRITTEN, UNKNOWN], "differs", "not found by nerava_key"),
        ([WRITTEN, (READ, 200, {"results": []})], "differs", "not found by nerava_key"),
        (
            [WRITTEN, (READ, 200, {"results": [result(None, "", "3", **{ID_PROPERTY: KEYED})]})],
            "differs",
            "not its email",
        ),
        ([WRITTEN, (READ, 503, None)], "not_told", "503"),
        ([(UPSERT, 400, invalid("no email, no contact"))], "differs", "refused: 400"),
        ([(UPSERT, 500, None)], "not_told", "500"),
    ],
)
def test_a_new_contact_has_the_property_and_its_email(
    answers: list[tuple[str, int, object]], outcome: str, words: str
) -> None:
    found = asked("id_property_set", subject_of(*answers))

    assert (found.told, words in found.what) == (outcome, True), found


@pytest.mark.parametrize("name", ["id_property_conflict", "id_property_set"])
def test_contacts_that_are_upserted_by_email_leave_nothing_to_ask(name: str) -> None:
    found = asked(name, subject_of(id_property="email"))

    assert (found.told, found.what) == ("not_told", "not asked: HUBSPOT_ID_PROPERTY is email")
    assert not found.try_again


def test_without_a_test_contact_no_conflict_is_asked_for() -> None:
    subject = subject_of()
    subject.ids = {}

    found = asked("id_property_conflict", subject)

    assert (found.told, found.try_again) == ("not_told", False)


@pytest.mark.parametrize("message", ["Unable to perform read by non-unique 0-1 property nerava_key", "no such thing"])
def test_a_property_by_which_nothing_can_be_read_is_not_asked_about(message: str) -> None:
    subject = subject_of((READ, 207, {"results": []}), (READ, 400, invalid(message)))

    assert asyncio.run(subject.look()) == []
    assert (message in asked("id_property_set", subject).what) is True


def test_an_outage_of_the_read_by_the_property_is_no_word_about_the_property() -> None:
    subject = subject_of((READ, 207, {"results": []}), (READ, 503, None))

    assert isinstance(asyncio.run(subject.look()), RetryLater)
    assert subject.not_by_property is None
