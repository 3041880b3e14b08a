"""What HubSpot may answer although nobody has seen it: the reader is careful."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from hubspot_consumer.hubspot.outcomes import Delivered, Halt, Rejected, RetryLater
from hubspot_consumer.hubspot.requests import Upsert
from hubspot_consumer.hubspot.results import (
    read_allowed,
    read_created,
    read_noted_events,
    read_notes_of_contacts,
    read_page,
    read_send,
    read_written,
)
from hubspot_consumer.hubspot.status_codes import read_refusal
from schemas.contacts import ContactKey
from tests.recorded import known_to

ADA, GRACE = ContactKey("ada@example.com"), ContactKey("grace@example.com")
REFUSED = {"status": "error", "category": "VALIDATION_ERROR", "message": "Event definition does not exist"}


def answer(status: int, body: Any) -> httpx.Response:
    request = httpx.Request("POST", "https://api.hubapi.com/path")
    return httpx.Response(status, content=body if isinstance(body, str) else json.dumps(body), request=request)


def test_a_timeline_call_that_was_taken_in_part_is_sent_again_in_parts_until_the_refused_entry_is_alone() -> None:
    assert isinstance(read_send(answer(207, {"errors": [REFUSED]}), 2), Rejected)
    assert isinstance(read_send(answer(207, {"errors": [REFUSED]}), 1), Rejected)


def test_a_timeline_call_of_which_an_entry_has_to_come_later_comes_again() -> None:
    later = {"category": "RATE_LIMITS", "message": "later"}

    assert isinstance(read_send(answer(207, {"errors": [later]}), 2), RetryLater)


def test_an_entry_that_is_refused_because_it_came_before_is_taken() -> None:
    again = {**REFUSED, "message": "Event with this uuid already exists"}

    assert read_send(answer(207, {"errors": [again]}), 1) is None
    assert isinstance(read_send(answer(207, {"errors": [again]}), 2), Rejected)


def test_a_property_that_is_not_named_is_nobodys() -> None:
    inputs = [Upsert("t1", ADA, {}), Upsert("t2", GRACE, {})]
    refused = answer(400, {**REFUSED, "errors": [{"code": "PROPERTY_DOESNT_EXIST"}]})

    assert read_written(refused, inputs).unclear == inputs


@pytest.mark.parametrize("body", ["<html>Not Found</html>", {"message": "resource not found"}, ""])
def test_a_look_up_whose_path_does_not_exist_makes_no_contact_new(body: Any) -> None:
    assert isinstance(known_to(answer(404, body), [ADA, GRACE]), Halt)


def test_a_look_up_that_is_not_found_says_it_of_those_it_names_or_of_the_only_one() -> None:
    nobody = {"category": "OBJECT_NOT_FOUND", "message": "no"}

    assert known_to(answer(404, nobody), [ADA]) == {ADA: None}
    assert known_to(answer(404, nobody), [ADA, GRACE]) == {}
    assert known_to(answer(404, {**nobody, "context": {"ids": [ADA]}}), [ADA, GRACE]) == {ADA: None}


def test_a_reason_that_stands_only_among_the_errors_is_in_the_detail() -> None:
    error = {"message": "A value for role must be provided", "code": "MISSING_REQUIRED_PROPERTY"}

    refusal = read_refusal(answer(400, {"category": "VALIDATION_ERROR", "errors": [error]}))

    assert isinstance(refusal, Rejected)
    assert refusal.detail == "400 VALIDATION_ERROR: MISSING_REQUIRED_PROPERTY A value for role must be provided"


def test_results_without_emails_and_trace_ids_that_are_as_many_as_the_inputs_are_told_apart_by_smaller_calls() -> None:
    inputs = [Upsert("t1", ADA, {}), Upsert("t2", GRACE, {})]
    results = [{"id": "151"}, {"id": "152"}]

    assert read_written(answer(200, {"status": "COMPLETE", "results": results}), inputs).unclear == inputs


def test_results_without_trace_ids_that_are_fewer_than_the_inputs_deliver_nobody_by_elimination() -> None:
    inputs = [Upsert("t1", ADA, {}), Upsert("t2", GRACE, {})]
    written = read_written(answer(200, {"status": "COMPLETE", "results": [{"id": "151"}]}), inputs)

    assert {type(outcome) for outcome in written.outcomes.values()} == {RetryLater}


def test_the_results_of_an_update_without_trace_ids_and_emails_are_known_by_hubspots_ids() -> None:
    inputs = [Upsert(key, key, {"phone": "1"}, contact_id=contact_id) for key, contact_id in ((ADA, "7"), (GRACE, "8"))]
    results = [{"id": contact_id, "properties": {"phone": "1"}} for contact_id in ("8", "7")]

    answered = read_written(answer(200, {"status": "COMPLETE", "results": results}), inputs)

    assert (answered.outcomes, answered.unclear) == ({ADA: Delivered("7"), GRACE: Delivered("8")}, [])


PAGE = "<html><title>Sign in to this network</title></html>"
READERS: dict[str, Callable[[httpx.Response], Any]] = {
    "write": lambda answer: read_written(answer, [Upsert("t1", ADA, {})]).outcomes["t1"],
    "send": lambda answer: read_send(answer, 1),
    "read": lambda answer: known_to(answer, [ADA]),
    "notes_of_contacts": lambda answer: read_notes_of_contacts(answer, 1),
    "noted": lambda answer: read_noted_events(answer, 1),
    "list": read_page,
    "allowed": read_allowed,
    "define": read_created,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("body", [PAGE, "[]", "null", '"well"', "{"])
def test_a_success_without_an_object_of_hubspots_is_an_outage_that_names_what_came_instead(
    reader: str, body: str
) -> None:
    page = answer(200, body)
    page.headers["Content-Type"] = "text/html; charset=utf-8"

    outcome = READERS[reader](page)

    assert isinstance(outcome, RetryLater)
    assert outcome.outage
    assert outcome.detail == (
        "200: the answer is no JSON object, but text/html: something else answers in HubSpot's place"
    )


@pytest.mark.parametrize("reader", sorted(READERS.keys() - {"send", "allowed", "define"}))
def test_a_success_without_a_body_is_an_outage_too_where_hubspot_answers_with_one(reader: str) -> None:
    outcome = READERS[reader](answer(200, ""))

    assert isinstance(outcome, RetryLater)
    assert (outcome.outage, "no JSON object, but empty" in outcome.detail) == (True, True)
