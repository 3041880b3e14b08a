"""The probe's questions, each with answers made by hand: what they tell, and what they can't."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from hubspot_consumer.hubspot.outcomes import RetryLater
from hubspot_consumer.hubspot.paths import PATHS
from hubspot_consumer.hubspot.status_codes import Answer
from hubspot_consumer.probe.question import LONGEST_FOUND, Found, as_expected, differs, failed, not_told
from hubspot_consumer.probe.run import QUESTIONS
from hubspot_consumer.probe.subject import ADDITIONAL, EMAILS, MAIN, NAMES, OTHER, Subject
from tests.clock import OwnedClock
from tests.samples import PORTAL_ID, TOKEN

PATH = PATHS["2026-09"]
UPSERT, READ, UPDATE = (f"{PATH.contacts}/batch/{action}" for action in ("upsert", "read", "update"))
QUOTA = {
    "X-HubSpot-RateLimit-Max": "190",
    "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
    "X-HubSpot-RateLimit-Remaining": "189",
    "X-HubSpot-RateLimit-Daily": "625000",
    "X-HubSpot-RateLimit-Daily-Remaining": "624000",
}
NOT_FOUND = {"category": "OBJECT_NOT_FOUND", "context": {"ids": list(EMAILS)}}
FORBIDDEN = (403, {"category": "MISSING_SCOPES", "message": "This app hasn't been granted all required scopes"})
NOWHERE = (404, {"message": "resource not found"})
Told = tuple[str, str]


def answer(status: int, body: object = None, path: str = "/", headers: Mapping[str, str] | None = None) -> Answer:
    content = b"" if body is None else json.dumps(body).encode()
    request = httpx.Request("POST", f"https://api.hubapi.com{path}")
    return httpx.Response(status, headers=headers, content=content, request=request)


def result(trace: str | None, email: str, contact_id: str = "1", **more: Any) -> dict[str, Any]:
    traced = {} if trace is None else {"objectWriteTraceId": trace}
    return {"id": contact_id, "properties": {"email": email, **more}, **traced}


def invalid(message: str, **more: Any) -> dict[str, Any]:
    return {"status": "error", "category": "VALIDATION_ERROR", "message": message, **more}


def unknown(name: str) -> dict[str, Any]:
    failure = {"isValid": False, "error": "PROPERTY_DOESNT_EXIST", "name": name, "message": "does not exist"}
    return invalid(f"Property values were not valid: {json.dumps([failure])}")


class Script:
    """Answers calls by their paths: a path's answers in turn, the last one for ever."""

    def __init__(self, *answers: tuple[str, int, object]) -> None:
        self._answers: dict[str, list[Answer]] = {}
        for path, status, body in answers:
            self._answers.setdefault(path, []).append(answer(status, body, path))

    async def __call__(
        self,
        path: str,
        body: Mapping[str, Any] | None = None,  # noqa: ARG002 - the client's signature
        parameters: Mapping[str, str] | None = None,  # noqa: ARG002 - the client's signature
    ) -> Answer:
        answers = self._answers.get(path)
        if answers is None:
            return RetryLater("no answer: ConnectError", outage=True)
        return answers.pop(0) if len(answers) > 1 else answers[0]


def subject_of(*answers: tuple[str, int, object]) -> Subject:
    subject = Subject(Script(*answers), PATH, PORTAL_ID, "auto", OwnedClock())
    subject.ids = {MAIN: "1", OTHER: "2"}
    return subject


def asked(name: str, subject: Subject) -> Found:
    [question] = [question for question in QUESTIONS if question.name == name]
    return asyncio.run(as_coroutine(question.ask(subject)))


async def as_coroutine(awaitable: Any) -> Found:
    found: Found = await awaitable
    return found


def told(found: Found) -> str:
    return found.told


@pytest.mark.parametrize(
    ("account", "outcome", "words"),
    [
        (
            answer(200, {"portalId": PORTAL_ID}, PATH.account),
            "as_expected",
            "/account-info/2026-09/details answers (200",
        ),
        (answer(200, {"portalId": PORTAL_ID}, "/account-info/v3/details"), "differs", "v3"),
        (answer(*NOWHERE), "differs", "404"),
        (answer(503, {}), "not_told", "503"),
        (RetryLater("no answer: ReadTimeout"), "not_told", "ReadTimeout"),
    ],
)
def test_a_version_that_is_nowhere_differs(account: Answer, outcome: str, words: str) -> None:
    subject = subject_of()
    subject.account = account

    found = asked("api_version", subject)

    assert (found.told, words in found.what) == (outcome, True), found


@pytest.mark.parametrize(
    ("headers", "outcome", "words"),
    [
        (QUOTA, "as_expected", "190 calls in 10 s; 624,000 of 625,000 left today"),
        ({}, "differs", "X-HubSpot-RateLimit-Max"),
        ({**QUOTA, "X-HubSpot-RateLimit-Daily": "plenty"}, "differs", "read: X-HubSpot-RateLimit-Daily"),
    ],
)
def test_the_quota_is_read_from_an_answers_headers(headers: dict[str, str], outcome: str, words: str) -> None:
    subject = subject_of()
    subject.looked = answer(207, {"results": []}, READ, headers)

    found = asked("quota_headers", subject)

    assert (found.told, words in found.what) == (outcome, True), found


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (207, {"results": [], "errors": [NOT_FOUND]}, "as_expected"),
        (200, {"results": []}, "differs"),
        (207, {"results": [], "errors": [{**NOT_FOUND, "context": {"ids": list(EMAILS[:3])}}]}, "differs"),
        (400, invalid("no such address"), "differs"),
        (*FORBIDDEN, "not_told"),
        (200, "a page", "not_told"),
    ],
)
def test_each_unknown_contact_has_to_be_named(status: int, body: object, outcome: str) -> None:
    subject = subject_of()
    subject.looked = answer(status, body, READ)

    assert told(asked("unknown_contacts", subject)) == outcome


BOTH = [result("probe-1", MAIN), result("probe-2", OTHER, "2")]
UNTRACED = [result(None, MAIN), result(None, OTHER, "2")]


@pytest.mark.parametrize(
    ("body", "of_results", "of_traces", "of_pairs"),
    [
        ({"results": BOTH}, "as_expected", "as_expected", "as_expected"),
        ({"results": BOTH[::-1]}, "as_expected", "as_expected", "as_expected"),
        ({"results": UNTRACED}, "as_expected", "differs", "not_told"),
        ({"results": [BOTH[0], UNTRACED[1]]}, "as_expected", "differs", "as_expected"),
        (
            {"results": [result("probe-2", MAIN), result("probe-1", OTHER)]},
            "as_expected",
            "as_expected",
            "differs",
        ),
        ({"status": "PENDING", "results": []}, "differs", "not_told", "not_told"),
        ({"results": BOTH[:1]}, "differs", "as_expected", "as_expected"),
        ({"results": [1, None, {"properties": []}]}, "differs", "differs", "not_told"),
    ],
)
def test_results_and_their_trace_ids_are_told_apart(
    body: object, of_results: str, of_traces: str, of_pairs: str
) -> None:
    subject = subject_of()
    subject.written = answer(200, body, UPSERT)

    names = ("batch_results", "trace_ids_in_results", "results_by_trace_id")
    assert [told(asked(name, subject)) for name in names] == [of_results, of_traces, of_pairs]


VALID_ONE = result("probe-valid", "nerava-probe-valid@example.com")
OF_INVALID = invalid("INVALID_OPTION", context={"objectWriteTraceId": ["probe-invalid"]})


@pytest.mark.parametrize(
    ("status", "body", "of_failure", "of_traces"),
    [
        (207, {"results": [VALID_ONE], "errors": [OF_INVALID]}, "as_expected", "as_expected"),
        (207, {"results": [VALID_ONE], "errors": [invalid("INVALID_OPTION")]}, "as_expected", "differs"),
        (207, {"results": [], "errors": [OF_INVALID]}, "differs", "as_expected"),
        (400, invalid("INVALID_OPTION"), "differs", "not_told"),
        (200, {"results": [VALID_ONE]}, "not_told", "not_told"),
        (500, {}, "not_told", "not_told"),
    ],
)
def test_one_invalid_input_must_not_fail_the_others(status: int, body: object, of_failure: str, of_traces: str) -> None:
    subject = subject_of((UPSERT, status, body))

    assert [told(asked(name, subject)) for name in ("partial_failure", "trace_ids_in_errors")] == [
        of_failure,
        of_traces,
    ]


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (400, invalid("Duplicate IDs found in batch input"), "as_expected"),
        (200, {"results": [result("probe-once", "nerava-probe-twice@example.com")]}, "differs"),
        (429, {}, "not_told"),
    ],
)
def test_the_same_id_twice_is_refused_as_a_whole(status: int, body: object, outcome: str) -> None:
    assert told(asked("duplicate_ids", subject_of((UPSERT, status, body)))) == outcome


WRITTEN = {"results": [result("probe-partial", MAIN)]}


@pytest.mark.parametrize(
    ("answers", "outcome", "words"),
    [
        ([(UPSERT, 200, WRITTEN), (READ, 200, {"results": [result(None, MAIN, **NAMES)]})], "as_expected", "kept"),
        (
            [(UPSERT, 200, WRITTEN), (READ, 200, {"results": [result(None, MAIN, lastname="", firstname="?")]})],
            "differs",
            "cleared: firstname, lastname",
        ),
        ([(UPSERT, 400, invalid("Partial upserts are not supported"))], "differs", "Partial upserts are not"),
        ([(UPSERT, 200, WRITTEN), (READ, 500, {})], "not_told", "500"),
        ([(UPSERT, 200, WRITTEN), (READ, 207, {"results": [], "errors": [NOT_FOUND]})], "not_told", "not found"),
        ([(UPSERT, 503, {})], "not_told", "503"),
    ],
)
def test_a_partial_upsert_keeps_clears_or_is_refused(
    answers: list[tuple[str, int, object]], outcome: str, words: str
) -> None:
    found = asked("partial_upsert_by_email", subject_of(*answers))

    assert (found.told, words in found.what) == (outcome, True), found


@pytest.mark.parametrize(
    ("name", "status", "body", "outcome"),
    [
        ("unknown_property", 400, unknown("nerava_probe_no_such_property"), "as_expected"),
        ("unknown_property", 400, unknown("another"), "differs"),
        ("unknown_property", 400, invalid("no reason"), "differs"),
        ("unknown_property", 200, {"results": [result("probe-unknown", "x@example.com")]}, "differs"),
        ("unknown_property", 500, {}, "not_told"),
        ("wrong_email", 400, invalid("Email address is invalid"), "as_expected"),
        ("wrong_email", 409, invalid("Contact already exists"), "differs"),
        ("wrong_email", 200, {"results": [result("probe-mistyped", "x@example.con")]}, "differs"),
        ("wrong_email", 401, {}, "not_told"),
    ],
)
def test_what_is_refused_has_to_be_refused_so_that_the_client_understands_it(
    name: str, status: int, body: object, outcome: str
) -> None:
    assert told(asked(name, subject_of((UPSERT, status, body)))) == outcome


@pytest.mark.parametrize("name", ["conflict", "conflict_with_additional_email"])
@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (409, {"category": "CONFLICT", "message": "Contact already exists. Existing ID: 1"}, "as_expected"),
        (400, invalid("Cannot set … on 1. 2 already has that value."), "as_expected"),
        (400, invalid("The value of the property email is taken."), "differs"),
        (200, {"results": [result("probe-email", MAIN)]}, "differs"),
        (502, None, "not_told"),
    ],
)
def test_an_email_of_another_contact_has_to_be_a_conflict(name: str, status: int, body: object, outcome: str) -> None:
    subject = subject_of((UPDATE, status, body))
    subject.ids[ADDITIONAL] = "1"

    assert told(asked(name, subject)) == outcome


TAKEN = (UPDATE, 200, {"results": [result("probe-hs_additional_emails", MAIN)]})


@pytest.mark.parametrize(
    ("answers", "outcome"),
    [
        ([TAKEN, (READ, 200, {"results": [result(None, MAIN, hs_additional_emails=ADDITIONAL)]})], "as_expected"),
        ([TAKEN, (READ, 207, {"results": [], "errors": [NOT_FOUND]})], "differs"),
        ([TAKEN, (READ, 200, {"results": [result(None, ADDITIONAL, "9")]})], "differs"),
        ([TAKEN, (READ, 504, None)], "not_told"),
        ([(UPDATE, 400, invalid("read-only"))], "not_told"),
        ([(UPDATE, 423, None)], "not_told"),
    ],
)
def test_a_contact_has_to_be_found_by_its_additional_email(
    answers: list[tuple[str, int, object]], outcome: str
) -> None:
    subject = subject_of(*answers)

    assert told(asked("additional_email", subject)) == outcome
    assert (ADDITIONAL in subject.ids) is (outcome == "as_expected")


NUMBER, TIME = "nerava_nova_balance_cents", "nerava_last_nova_earned_at"
SENT_AT = "2026-01-02T03:04:05.678Z"


@pytest.mark.parametrize(
    ("name", "status", "body", "outcome"),
    [
        ("white_space", 200, {"results": [result(f"probe-{NUMBER}", MAIN, **{NUMBER: "12"})]}, "as_expected"),
        ("white_space", 200, {"results": [result(f"probe-{NUMBER}", MAIN)]}, "as_expected"),
        ("white_space", 200, {"results": [result(f"probe-{NUMBER}", MAIN, **{NUMBER: "0"})]}, "differs"),
        ("white_space", 400, invalid("white space"), "differs"),
        ("white_space", 400, unknown(NUMBER), "not_told"),
        ("white_space", 500, None, "not_told"),
        ("times", 200, {"results": [result(f"probe-{TIME}", MAIN, **{TIME: SENT_AT})]}, "as_expected"),
        ("times", 200, {"results": [result(f"probe-{TIME}", MAIN, **{TIME: "1767323045678"})]}, "as_expected"),
        ("times", 200, {"results": [result(f"probe-{TIME}", MAIN, **{TIME: "2026-01-02T03:04:05Z"})]}, "differs"),
        ("times", 200, {"results": [result(f"probe-{TIME}", MAIN, **{TIME: "yesterday"})]}, "differs"),
        ("times", 400, invalid("was not a valid long"), "differs"),
        ("times", 400, unknown(TIME), "not_told"),
    ],
)
def test_a_value_is_compared_with_what_is_stored(name: str, status: int, body: object, outcome: str) -> None:
    assert told(asked(name, subject_of((UPDATE, status, body)))) == outcome


GONE = (f"{PATH.contacts}/batch/archive", 204, None)


@pytest.mark.parametrize(
    ("answers", "outcome", "words"),
    [
        ([GONE, (UPSERT, 200, {"results": [result("probe-deleted", OTHER, "9")]})], "as_expected", "a new contact"),
        ([GONE, (UPSERT, 200, {"results": [result("probe-deleted", OTHER, "2")]})], "as_expected", "restored"),
        ([GONE, (UPSERT, 400, invalid("email has been GDPR blacklisted"))], "differs", "GDPR"),
        ([GONE, (UPSERT, 500, None)], "not_told", "500"),
        ([(GONE[0], 400, invalid("not archived"))], "not_told", "not archived"),
        ([(GONE[0], *FORBIDDEN)], "not_told", "403"),
    ],
)
def test_a_deleted_contact_comes_back_or_is_refused(
    answers: list[tuple[str, int, object]], outcome: str, words: str
) -> None:
    found = asked("deleted_contact", subject_of(*answers))

    assert (found.told, words in found.what) == (outcome, True), found


NEEDS_A_CONTACT = (
    "partial_upsert_by_email",
    "conflict",
    "additional_email",
    "conflict_with_additional_email",
    "white_space",
    "times",
    "deleted_contact",
    "duplicate_event",
    "notes",
)


@pytest.mark.parametrize("name", NEEDS_A_CONTACT)
def test_without_a_test_contact_nothing_is_told_of_it(name: str) -> None:
    subject = subject_of()
    subject.ids = {}

    found = asked(name, subject)

    assert (found.told, found.try_again) == ("not_told", False)


def test_nothing_is_told_of_calls_that_were_not_made() -> None:
    subject = Subject(Script(), PATH, PORTAL_ID, "auto", OwnedClock())

    assert {told(asked(question.name, subject)) for question in QUESTIONS} == {"not_told"}


def test_words_of_hubspot_are_bounded_printable_and_without_tokens_and_emails() -> None:
    words = f"\x1b[31m{TOKEN} of somebody@example.com\r\n" + "x" * 10_000

    for found in (
        as_expected(words),
        differs(words),
        not_told(words),
        not_told(RetryLater(words)),
        failed(OSError(words)),
    ):
        assert found.what.isprintable()
        assert len(found.what) <= LONGEST_FOUND + 3
        assert TOKEN not in found.what
        assert "somebody@" not in found.what


def test_each_question_says_what_it_is_about() -> None:
    names = [question.name for question in QUESTIONS]

    assert len(set(names)) == len(names)
    for question in QUESTIONS:
        assert all((question.name.isidentifier(), question.expected, question.how, question.means)), question.name
    [partial] = [question for question in QUESTIONS if question.name == "partial_upsert_by_email"]
    assert partial.setting == "HUBSPOT_ID_PROPERTY"
