"""The probe's questions about timeline entries, with answers made by hand."""

from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from hubspot_consumer.hubspot.status_codes import Answer
from hubspot_consumer.probe.subject import MAIN, Subject
from tests.clock import OwnedClock
from tests.samples import PORTAL_ID
from tests.unit.hubspot_consumer.probe.test_questions import (
    FORBIDDEN,
    NOWHERE,
    PATH,
    answer,
    asked,
    invalid,
    subject_of,
)

DEFINED = f"{PATH.event_definitions}/pe{PORTAL_ID}_nerava_driver_signed_up"
CREATE, FIND, READ = f"{PATH.notes}/batch/create", PATH.notes_of_contacts, f"{PATH.notes}/batch/read"


class Notes:
    """Answers as a portal that keeps a note, *seen* at so many looks for it, and its text changed or not."""

    def __init__(self, *, seen_at: int = 1, text: str | None = None) -> None:
        self._seen_at = seen_at
        self._text = text
        self._note = ""
        self.looks = 0

    async def __call__(
        self,
        path: str,
        body: Mapping[str, Any] | None = None,
        parameters: Mapping[str, str] | None = None,  # noqa: ARG002 - the client's signature
    ) -> Answer:
        if path == CREATE:
            self._note = (body or {})["inputs"][0]["properties"]["hs_note_body"]
            return answer(201, {"results": [{"id": "9", "properties": {}}]}, path)
        if path == FIND:
            self.looks += 1
            found = {"from": {"id": "1"}, "to": [{"toObjectId": 9}]}
            return answer(200, {"results": [found] if self.looks >= self._seen_at else []}, path)
        text = self._note if self._text is None else self._text
        return answer(200, {"results": [{"id": "9", "properties": {"hs_note_body": text}}]}, path)


def with_notes(portal: Notes) -> Subject:
    subject = Subject(portal, PATH, PORTAL_ID, "notes", OwnedClock())
    subject.ids = {MAIN: "1"}
    return subject


@pytest.mark.parametrize(
    ("name", "path"), [("event_definitions", PATH.event_definitions), ("event_sending", PATH.send_events)]
)
@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (200, {"results": []}, "as_expected"),
        (204, None, "as_expected"),
        (400, invalid("inputs must not be empty"), "as_expected"),
        (*NOWHERE, "differs"),
        (405, None, "differs"),
        (*FORBIDDEN, "not_told"),
        (403, "a page", "not_told"),
        (500, {}, "not_told"),
    ],
)
def test_a_path_is_there_if_it_answers_whatever_it_says(
    name: str, path: str, status: int, body: object, outcome: str
) -> None:
    assert asked(name, subject_of((path, status, body))).told == outcome


def test_another_path_than_the_documented_one_differs_and_is_named() -> None:
    async def moved(path: str, body: object = None, parameters: object = None) -> Answer:
        request = httpx.Request("POST", "https://api.hubapi.com/events/custom/2026-09/send/batch")
        return httpx.Response(204, request=request)

    found = asked("event_sending", Subject(moved, PATH, PORTAL_ID, "auto", OwnedClock()))

    assert found.told == "differs"
    assert "/events/custom/2026-09/send/batch answers" in found.what


@pytest.mark.parametrize(
    ("answers", "outcome", "words"),
    [
        ([(DEFINED, 200, {}), (PATH.send_events, 204, None)], "as_expected", "204"),
        (
            [(DEFINED, 200, {}), (PATH.send_events, 204, None), (PATH.send_events, 400, invalid("duplicate uuid"))],
            "as_expected",
            "duplicate uuid",
        ),
        (
            [(DEFINED, 200, {}), (PATH.send_events, 204, None), (PATH.send_events, 409, {"category": "CONFLICT"})],
            "differs",
            "409",
        ),
        (
            [(DEFINED, 200, {}), (PATH.send_events, 204, None), (PATH.send_events, 400, invalid("no"))],
            "differs",
            "not read as a repetition",
        ),
        ([(DEFINED, 200, {}), (PATH.send_events, 204, None), (PATH.send_events, 500, {})], "not_told", "500"),
        ([(DEFINED, 200, {}), (PATH.send_events, 400, invalid("no"))], "not_told", "no"),
        ([(DEFINED, 400, invalid("does not exist"))], "not_told", "not asked: no definitions"),
        ([(DEFINED, *NOWHERE)], "not_told", "not asked: no definitions"),
        ([(DEFINED, *FORBIDDEN)], "not_told", "403"),
        ([(DEFINED, 503, {})], "not_told", "503"),
    ],
)
def test_a_repeated_event_has_to_be_taken_or_called_a_duplicate(
    answers: list[tuple[str, int, object]], outcome: str, words: str
) -> None:
    found = asked("duplicate_event", subject_of(*answers))

    assert (found.told, words in found.what) == (outcome, True), found


@pytest.mark.parametrize(
    ("portal", "outcome"),
    [
        (Notes(), "as_expected"),
        (Notes(seen_at=3), "as_expected"),
        (Notes(seen_at=4), "differs"),
        (Notes(text="<b>driver signed up</b>"), "differs"),
    ],
)
def test_a_note_has_to_be_found_by_its_contact_and_by_the_event_in_its_text(portal: Notes, outcome: str) -> None:
    subject = with_notes(portal)

    assert asked("notes", subject).told == outcome
    assert subject.notes == {"9"}, "it is deleted by its id, even if nothing leads to it"
    assert portal.looks <= 3


@pytest.mark.parametrize(
    ("answers", "outcome"),
    [
        ([(CREATE, 400, invalid("one or more associations are not valid"))], "differs"),
        ([(CREATE, *FORBIDDEN)], "not_told"),
        ([(CREATE, 200, "a page")], "not_told"),
        ([(CREATE, 201, {"results": [{"id": "9"}]}), (FIND, 500, {})], "not_told"),
        (
            [
                (CREATE, 201, {"results": [{"id": "9"}]}),
                (FIND, 200, {"results": [{"from": {"id": "1"}, "to": [{"toObjectId": "9"}]}]}),
                (READ, 200, {"results": []}),
            ],
            "not_told",
        ),
    ],
)
def test_a_note_that_is_refused_differs_and_one_without_an_answer_tells_nothing(
    answers: list[tuple[str, int, object]], outcome: str
) -> None:
    assert asked("notes", subject_of(*answers)).told == outcome
