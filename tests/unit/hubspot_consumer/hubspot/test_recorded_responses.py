"""The reader, on every answer of HubSpot's that was recorded; and that none of those we know of is missing."""

import ast
import inspect
import json
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeVar, assert_never

import httpx
import pytest

from hubspot_consumer.hubspot.account import PortalDetails, read_portal
from hubspot_consumer.hubspot.outcomes import Delivered, Halt, Outcome, Rejected, RetryLater
from hubspot_consumer.hubspot.requests import KnownContact, Note, TimelineEntry, Upsert
from hubspot_consumer.hubspot.results import (
    NotesOfContacts,
    Page,
    WriteAnswer,
    read_allowed,
    read_created,
    read_noted_events,
    read_notes,
    read_notes_of_contacts,
    read_page,
    read_send,
    read_written,
)
from hubspot_consumer.hubspot.status_codes import _by_status, read_refusal
from schemas.contacts import ContactKey
from tests.recorded import RECORDED, Recorded, known_to

AT: Final = datetime(2026, 11, 24, tzinfo=UTC)
Input = TypeVar("Input", bound=Upsert | Note)

# Statuses and words that HubSpot's documentation or a recording names, with the source that names it first.
STATUSES: Final = {
    **dict.fromkeys((200, 201, 204, 207), "SPEC"),
    **dict.fromkeys((400, 401, 403, 404, 409, 414, 423, 429, 477, 502, 503, 504, 521, 522, 523, 524, 525, 526), "ERR"),
    405: "third parties that fall back from a dated path",
    408: "SEG",
    500: "HubSpot/hubspot-php#192",
    530: "airbyte source-hubspot streams.py",
}
WORDS: Final = {
    "category": {
        "VALIDATION_ERROR": "ERR",
        "INVALID_AUTHENTICATION": "RUD",
        "EXPIRED_AUTHENTICATION": "ERR",
        "MISSING_SCOPES": "OBJ",
        "OBJECT_NOT_FOUND": "AMP",
        "CONFLICT": "AMP",
        "OBJECT_ALREADY_EXISTS": "LIVE",
        "RATE_LIMITS": "GRP",
    },
    "subCategory": {"Properties.PROPERTY_WITH_NAME_EXISTS": "LIVE"},
    "errorType": {"RATE_LIMIT": "USE", "UNIQUE_VALUE_CONFLICT": "a third party's recording"},
    "policyName": {
        "TEN_SECONDLY_ROLLING": "HubSpot/hubspot-api-python#117",
        "DAILY": "USE",
        "SECONDLY": "HGData/mk-node-hubspot#89",
    },
    "code": {
        "PROPERTY_DOESNT_EXIST": "OBJ",
        "INVALID_EMAIL": "ERR",
        "INVALID_OPTION": "SEG",
        "INVALID_INTEGER": "Atlas-Authority/marketing-automation#206",
        "INVALID_DATE": "PROP",
        "INVALID_LONG": "verbb/formie#1755",
        "CONFLICTING_UNIQUE_VALUE": "HubSpot's own pages",
        "INVALID_BOOLEAN_OPTION": "LIVE",
        "READ_ONLY_VALUE": "mautic/mautic#8785",
        "MISSING_REQUIRED_PROPERTY": "changelog crm-api-write-validation-enforcement",
        "MISSING_CONDITIONAL_REQUIRED_PROPERTY": "changelog crm-api-write-validation-enforcement",
    },
}
# `status` of a batch: the other two of the specification's, PROCESSING and CANCELED, nobody has seen.
BATCH_STATUSES: Final = {"COMPLETE", "PENDING"}


def _upserts(recorded: Recorded) -> list[Upsert]:
    """Return what was asked, as we would have; an input without a trace id goes by its place."""
    inputs = [asked if isinstance(asked, dict) else {} for asked in recorded.inputs]
    return [
        Upsert(
            asked.get("objectWriteTraceId", str(place)),
            ContactKey(str(asked.get("id") or asked.get("properties", {}).get("email") or f"input {place}").lower()),
            asked.get("properties", {}),
        )
        for place, asked in enumerate(inputs)
    ]


def _notes(recorded: Recorded) -> list[Note]:
    entry = TimelineEntry("", "nova_earned", ContactKey("ada@example.com"), "151", AT, {})
    return [Note(asked["objectWriteTraceId"], entry) for asked in recorded.inputs]


def _outcomes(answer: WriteAnswer[Input]) -> dict[str, str]:
    outcomes = {trace_id: _said(outcome) for trace_id, outcome in answer.outcomes.items()}
    return outcomes | {one.trace_id: "unclear" for one in answer.unclear}


def _written(recorded: Recorded) -> dict[str, str]:
    return _outcomes(read_written(recorded.response(), _upserts(recorded)))


def _known(recorded: Recorded) -> str | dict[str, str]:
    keys = [ContactKey(asked["id"]) for asked in recorded.inputs]
    found = known_to(recorded.response(), keys)
    return (
        {key: _found(found[key]) if key in found else "left out" for key in keys}
        if isinstance(found, dict)
        else _said(found)
    )


def _found(contact: KnownContact | None) -> str:
    return f"known {contact.contact_id} at {contact.sequence}" if contact else "missing"


def _reader(read: Callable[[httpx.Response], Any]) -> Callable[[Recorded], str]:
    return lambda recorded: _said(read(recorded.response()))


def _other(response: httpx.Response) -> Any:
    return "answered" if response.is_success else read_refusal(response)


READERS: Final[Mapping[str, Callable[[Recorded], str | dict[str, str]]]] = {
    "create": _written,
    "upsert": _written,
    "update": _written,
    "read": _known,
    "send": lambda recorded: _said(read_send(recorded.response(), len(recorded.inputs)) or "taken"),
    "notes": lambda recorded: _outcomes(read_notes(recorded.response(), _notes(recorded))),
    "notes_of_contacts": lambda recorded: _said(read_notes_of_contacts(recorded.response(), len(recorded.inputs))),
    "noted": lambda recorded: _said(read_noted_events(recorded.response(), len(recorded.inputs))),
    "account": _reader(read_portal),
    "definitions": _reader(read_allowed),
    "list": _reader(read_page),
    "define": _reader(lambda response: read_created(response) or "there"),
    "other": _reader(_other),
}


Answered = Page | PortalDetails | NotesOfContacts | set[str] | bool | str


def _said(outcome: Outcome | Answered) -> str:  # noqa: C901, PLR0911 - a table of words
    match outcome:
        case str():
            return outcome
        case bool():
            return "allowed" if outcome else "not allowed"
        case PortalDetails():
            return f"portal {outcome.portal_id} in {outcome.zone}"
        case NotesOfContacts():
            return _listed("notes", outcome.note_ids) or "no notes"
        case set():
            return _listed("events", outcome) or "no events"
        case Page():
            return f"{len(outcome.items)} items" + (f", more after {outcome.after}" if outcome.after else "")
        case Delivered():
            return f"delivered {outcome.contact_id}"
        case Rejected():
            of = ", a conflict" if outcome.conflict else ""
            return f"rejected {outcome.reason}" + of + _listed(" for", outcome.unwritable)
        case Halt():
            return f"halt {outcome.reason}"
        case RetryLater():
            after = f" after {outcome.after.total_seconds():g} s" if outcome.after else ""
            return "retry_later" + after + (" outage" if outcome.outage else "")
        case _:
            assert_never(outcome)


def _listed(words: str, names: Collection[str]) -> str:
    return f"{words} {', '.join(sorted(names))}" if names else ""


def _read_wrongly_as_yet(recorded: Recorded) -> Any:
    """Mark an answer that the client gets wrong: the test fails as soon as the client gets it right."""
    marks = pytest.mark.xfail(reason=recorded.pending, strict=True) if recorded.pending else ()
    return pytest.param(recorded, marks=marks, id=recorded.name)


@pytest.mark.parametrize("recorded", [_read_wrongly_as_yet(recorded) for recorded in RECORDED])
def test_a_recorded_answer_means_what_its_file_says(recorded: Recorded) -> None:
    assert READERS[recorded.call](recorded) == recorded.expected


@pytest.mark.parametrize("recorded", RECORDED, ids=str)
def test_a_recorded_answer_is_in_the_folder_of_its_outcome(recorded: Recorded) -> None:
    outcomes = [recorded.expected] if isinstance(recorded.expected, str) else list(recorded.expected.values())
    kinds = {outcome.split()[0] for outcome in outcomes}
    ending = {"delivered", "rejected", "retry_later", "halt", "unclear"} & kinds

    assert recorded.name.split("/")[0] == ("partial" if len(kinds) > 1 and ending else "".join(ending) or "answered")
    assert recorded.source
    assert recorded.sure in ("certain", "likely", "unclear")


def _values(body: Any) -> list[tuple[str, Any]]:
    """Return every field with a word in it, also of the JSON inside a message."""
    if isinstance(body, list):
        return [pair for item in body for pair in _values(item)]
    if not isinstance(body, dict):
        return []
    pairs = [(name, value) for name, value in body.items() if isinstance(value, str)]
    embedded = str(body.get("message", "")).partition("not valid: ")[2]
    nested = _values(json.loads(embedded)) if embedded else []
    codes = [("code", value) for name, value in nested if name == "error"]
    return pairs + codes + [pair for value in body.values() for pair in _values(value)]


def test_every_status_and_every_word_that_hubspot_is_known_to_answer_with_was_recorded() -> None:
    recorded = {pair for answer in RECORDED for pair in _values(answer.body)}

    assert set(STATUSES) - {answer.status for answer in RECORDED} == set()
    assert {(field, word) for field, words in WORDS.items() for word in words} - recorded == set()
    assert BATCH_STATUSES - {word for field, word in recorded if field == "status"} == set()


def test_every_case_of_the_reader_has_a_recorded_answer() -> None:
    [match] = [node for node in ast.walk(ast.parse(inspect.getsource(_by_status))) if isinstance(node, ast.Match)]
    cases = [{node.value for node in ast.walk(case.pattern) if isinstance(node, ast.Constant)} for case in match.cases]
    refused = {answer.status for answer in RECORDED if answer.status >= 300}

    assert [statuses for statuses in cases if statuses and not statuses & refused] == []
    assert refused - set().union(*cases), "the last case takes what no other does"
