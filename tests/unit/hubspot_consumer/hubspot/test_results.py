"""The one reader of HubSpot's answers, on bodies as they were recorded and on whatever else may come."""

import json
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubspot_consumer.hubspot.account import PortalDetails, read_portal
from hubspot_consumer.hubspot.outcomes import Delivered, Halt, Rejected, RetryLater
from hubspot_consumer.hubspot.remote_contacts import read_remote_contacts
from hubspot_consumer.hubspot.requests import KnownContact, Upsert
from hubspot_consumer.hubspot.results import (
    read_allowed,
    read_created,
    read_page,
    read_send,
    read_written,
)
from hubspot_consumer.hubspot.status_codes import LONGEST_DETAIL, LONGEST_RETRY_AFTER, quota_spent_for, read_refusal
from schemas.contacts import ContactKey
from tests.recorded import known_to
from tests.samples import TOKEN

ADA, GRACE = (
    Upsert("t1", ContactKey("ada@example.com"), {"phone": "1"}),
    Upsert("t2", ContactKey("grace@example.com"), {}),
)
LENA = Upsert("t3", ContactKey("lena@example.com"), {"phone": "1"})
NO_SUCH_PROPERTY = "Property values were not valid: " + json.dumps(
    [
        {
            "isValid": False,
            "message": 'Property "missing" does not exist',
            "error": "PROPERTY_DOESNT_EXIST",
            "name": "missing",
        }
    ]
)
RATE_LIMIT = {"status": "error", "errorType": "RATE_LIMIT", "correlationId": "c", "category": "RATE_LIMITS"}


def answer(status: int, body: Any = None, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, content=content, headers=named, request=httpx.Request("POST", "https://hubspot/path"))


def result(contact_id: str, email: str, trace_id: str | None = None) -> dict[str, Any]:
    body = {"id": contact_id, "new": True, "properties": {"email": email}}
    return body | ({"objectWriteTraceId": trace_id} if trace_id else {})


def item_error(category: str, message: str, *trace_ids: str) -> dict[str, Any]:
    context = {"objectWriteTraceId": list(trace_ids)} if trace_ids else {}
    return {"status": "error", "category": category, "message": message, "context": context}


def test_results_are_matched_by_trace_id_and_not_by_order_or_email() -> None:
    # The email of a contact found by a secondary address is its primary one.
    body = {
        "status": "COMPLETE",
        "results": [result("2", "grace@example.com", "t2"), result("1", "countess@example.com", "t1")],
    }

    assert read_written(answer(200, body), [ADA, GRACE]).outcomes == {"t1": Delivered("1"), "t2": Delivered("2")}


def test_results_without_trace_ids_are_matched_by_email() -> None:
    body = {"results": [result("2", "Grace@Example.com"), result("1", "ada@example.com")]}

    assert read_written(answer(200, body), [ADA, GRACE]).outcomes == {"t1": Delivered("1"), "t2": Delivered("2")}


def test_a_partial_success_rejects_whom_it_names_and_delivers_the_others() -> None:
    body = {
        "results": [result("1", "ada@example.com", "t1")],
        "numErrors": 1,
        "errors": [item_error("VALIDATION_ERROR", NO_SUCH_PROPERTY, "t2")],
    }

    read = read_written(answer(207, body), [ADA, GRACE])

    assert read.outcomes["t1"] == Delivered("1")
    rejection = read.outcomes["t2"]
    assert isinstance(rejection, Rejected)
    assert "PROPERTY_DOESNT_EXIST" in rejection.detail
    assert not read.unclear


def test_one_error_may_name_several_inputs() -> None:
    body = {"errors": [item_error("RATE_LIMITS", "later", "t1", "t2")]}

    outcomes = read_written(answer(207, body), [ADA, GRACE]).outcomes

    assert [type(outcomes[trace_id]) for trace_id in ("t1", "t2")] == [RetryLater, RetryLater]


def test_an_error_that_names_nobody_leaves_those_without_a_result_unclear() -> None:
    body = {"results": [result("1", "ada@example.com", "t1")], "errors": [item_error("VALIDATION_ERROR", "bad")]}

    read = read_written(answer(207, body), [ADA, GRACE])

    assert (set(read.outcomes), read.unclear) == ({"t1"}, [GRACE])
    assert isinstance(read_written(answer(207, body), [GRACE]).outcomes["t2"], Rejected)


def test_a_success_that_leaves_an_input_out_is_a_retry() -> None:
    read = read_written(answer(200, {"status": "COMPLETE", "results": []}), [ADA, GRACE])

    assert {type(outcome) for outcome in read.outcomes.values()} == {RetryLater}
    assert not read.unclear


@pytest.mark.parametrize(
    "message", ["Duplicate IDs found in batch input: [1]. IDs must be unique", "Invalid input JSON"]
)
def test_a_whole_call_that_is_refused_is_unclear_until_an_input_stands_alone(message: str) -> None:
    refused = answer(400, {"status": "error", "message": message, "category": "VALIDATION_ERROR"})

    assert read_written(refused, [ADA, GRACE]).unclear == [ADA, GRACE]
    assert isinstance(read_written(refused, [ADA]).outcomes["t1"], Rejected)


def test_a_property_that_the_portal_takes_from_nobody_is_named_to_those_who_have_it() -> None:
    inputs = [Upsert(one.trace_id, one.contact_key, {"missing": "x"}) for one in (ADA, GRACE)]
    refused = answer(400, {"status": "error", "message": NO_SUCH_PROPERTY, "category": "VALIDATION_ERROR"})
    listed = {"errors": [{"code": "READ_ONLY_VALUE", "context": {"propertyName": ["missing"]}}], "message": "no"}

    for response in (refused, answer(400, listed)):
        outcomes = read_written(response, inputs).outcomes.values()
        assert [one.unwritable for one in outcomes if isinstance(one, Rejected)] == [frozenset({"missing"})] * 2
        assert read_written(response, [*inputs, LENA]).unclear == [LENA]


@pytest.mark.parametrize(
    ("body", "waits_s"),
    [
        (RATE_LIMIT | {"policyName": "TEN_SECONDLY_ROLLING", "message": "You have reached your limit."}, 10),
        (RATE_LIMIT | {"policyName": "SECONDLY", "message": "You have reached your secondly limit."}, 2),
        (RATE_LIMIT | {"message": "You have reached your ten_secondly_rolling limit."}, 10),
        ({}, 10),
        (b"<html>slow down</html>", 10),
    ],
)
def test_a_spent_burst_quota_is_a_retry_after_its_window(body: Any, waits_s: int) -> None:
    refusal = read_refusal(answer(429, body))

    assert isinstance(refusal, RetryLater)
    assert refusal.after == timedelta(seconds=waits_s)
    assert quota_spent_for(answer(429, body)) == refusal.after


def test_a_spent_daily_quota_halts_and_pauses_no_slot() -> None:
    spent = answer(429, RATE_LIMIT | {"policyName": "DAILY", "message": "You have reached your daily limit."})

    assert isinstance(refusal := read_refusal(spent), Halt)
    assert refusal.reason == "daily_quota_spent"
    assert quota_spent_for(spent) is None


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (401, "token_refused"),
        (402, "payment_required"),
        (301, "endpoint_not_found"),
        (302, "endpoint_not_found"),
        (307, "endpoint_not_found"),
        (308, "endpoint_not_found"),
        (300, "endpoint_not_found"),
        (304, "endpoint_not_found"),
        (530, "token_refused"),
        (404, "endpoint_not_found"),
        (405, "endpoint_not_found"),
    ],
)
def test_what_no_event_is_to_blame_for_halts(status: int, reason: str) -> None:
    halts = read_written(answer(status, {"message": "no"}), [ADA, GRACE])

    assert not halts.unclear
    assert all(isinstance(outcome, Halt) and outcome.reason == reason for outcome in halts.outcomes.values())


@pytest.mark.parametrize(
    ("code", "name", "mistyped"),
    [
        ("INVALID_INTEGER", "nerava_nova_balance_cents", {"nerava_nova_balance_cents"}),
        ("INVALID_LONG", "nerava_last_nova_earned_at", {"nerava_last_nova_earned_at"}),
        ("INVALID_BOOLEAN_OPTION", "nerava_role", {"nerava_role"}),
        ("INVALID_NUMBER", "nerava_external_id", {"nerava_external_id"}),
        ("INVALID_EMAIL", "email", set()),
        ("READ_ONLY_VALUE", "nerava_role", set()),
    ],
)
def test_a_property_of_ours_whose_value_has_another_form_than_its_type_is_named(
    code: str, name: str, mistyped: set[str]
) -> None:
    failures = [{"isValid": False, "message": "no", "error": code, "name": name}]
    told = {"message": f"Property values were not valid: {json.dumps(failures)}", "category": "VALIDATION_ERROR"}
    listed = {"message": "no", "errors": [{"code": code, "context": {"propertyName": [name]}}]}

    for refused in (told, listed):
        alone = read_refusal(answer(400, refused))
        item = {**refused, "context": {"objectWriteTraceId": ["t1"]}}
        of_one = read_written(answer(207, {"errors": [item]}), [ADA, GRACE]).outcomes["t1"]
        assert [one.mistyped for one in (alone, of_one) if isinstance(one, Rejected)] == [mistyped] * 2


HELD = "Cannot set propertyName=email on 552148386511. 552239500007 already has that value."


@pytest.mark.parametrize(
    "refused",
    [
        {"message": HELD},
        {"message": HELD.upper(), "category": "VALIDATION_ERROR"},
        {"message": "Invalid input", "category": "VALIDATION_ERROR", "errors": [{"message": HELD}]},
        {"message": "A contact with the email 'ada@example.com' already exists.", "category": "VALIDATION_ERROR"},
        {"message": "no", "category": "CONTACT_EXISTS"},
        {"message": "no", "category": "VALIDATION_ERROR", "subCategory": "CONFLICTING_UNIQUE_VALUE"},
        {"message": "no", "error": "CONTACT_EXISTS"},
        {"message": "no", "errorType": "UNIQUE_VALUE_CONFLICT"},
        {"message": "no", "errors": [{"message": "no", "code": "CONFLICTING_UNIQUE_VALUE"}]},
    ],
)
@pytest.mark.parametrize("status", [400, 409, 422])
def test_a_value_that_another_contact_holds_is_a_conflict_in_whatever_words(
    refused: dict[str, Any], status: int
) -> None:
    item = {**refused, "context": {"objectWriteTraceId": ["t1"]}}

    for response in (answer(status, refused), answer(207, {"results": [], "errors": [item]})):
        rejected = read_written(response, [ADA]).outcomes["t1"]
        assert isinstance(rejected, Rejected)
        assert rejected.conflict
    among_others = read_written(answer(207, {"results": [], "errors": [item]}), [ADA, GRACE]).outcomes["t1"]
    assert isinstance(among_others, Rejected)
    assert among_others.conflict


@pytest.mark.parametrize("status", [408, 423, 425, 477, 500, 502, 503, 504, 521, 522, 523, 524, 525, 526, 599])
@pytest.mark.parametrize("body", [{"message": "INTERNAL"}, b"upstream timed out", b"<html>Bad Gateway</html>", b"\xff"])
def test_what_passes_by_itself_is_a_retry(status: int, body: Any) -> None:
    outcomes = read_written(answer(status, body), [ADA, GRACE]).outcomes

    assert {type(outcome) for outcome in outcomes.values()} == {RetryLater}


@pytest.mark.parametrize(
    ("header", "after"),
    [
        ("3", timedelta(seconds=3)),
        ("0.5", timedelta(seconds=0.5)),
        ("86400", LONGEST_RETRY_AFTER),
        ("-1", timedelta(0)),
        ("soon", None),
        ("nan", None),
        ("1e999", None),
    ],
)
def test_the_wait_that_hubspot_asks_for_is_kept_within_reason(header: str, after: timedelta | None) -> None:
    refusal = read_refusal(answer(503, {}, Retry_After=header))

    assert isinstance(refusal, RetryLater)
    assert refusal.after == after


def test_no_email_stands_in_a_detail_and_the_correlation_id_does() -> None:
    message = 'Property values were not valid: [{"message":"Email address ada@example.con is invalid"}]'

    refusal = read_refusal(answer(400, {"message": message}, X_HubSpot_Correlation_Id="c-1"))

    assert isinstance(refusal, Rejected)
    assert "ada@" not in refusal.detail
    assert "a***@example.con" in refusal.detail
    assert "c-1" in refusal.detail


def test_a_look_up_tells_found_from_missing_and_leaves_out_what_the_answer_leaves_out() -> None:
    body = {
        "results": [
            {
                "id": "7",
                "properties": {
                    "email": "countess@example.com",
                    "hs_additional_emails": "ada@example.com;ada2@example.com",
                    "nerava_event_sequence": "12",
                    "nerava_contact_key": "ada@example.com",
                },
            },
            {"id": "9", "properties": {"email": "old@example.com", "nerava_event_sequence": "3"}},
            {"id": "8", "properties": {"email": "lena@example.com", "nerava_event_sequence": None}},
        ],
        "errors": [item_error("OBJECT_NOT_FOUND", "no") | {"context": {"ids": ["Grace@example.com"]}}],
    }
    keys = [ContactKey(f"{name}@example.com") for name in ("ada", "lena", "grace", "mary")]

    known = known_to(answer(207, body), keys)

    assert isinstance(known, dict)
    assert known["ada@example.com"] == KnownContact("7", 12)
    assert known["countess@example.com"] == KnownContact("7", 0), "another of its emails wrote that sequence"
    assert known["old@example.com"] == KnownContact("9", 3), "written before the key was"
    assert known["lena@example.com"] == KnownContact("8", 0)
    assert known["grace@example.com"] is None
    assert "mary@example.com" not in known


@pytest.mark.parametrize(
    ("portal_id", "read"), [(12345, 12345), ("12345", 12345), ("\u00b2", None), ("9" * 5000, None), (None, None)]
)
def test_the_portal_of_the_token_is_read_or_unknown(portal_id: Any, read: int | None) -> None:
    assert read_portal(answer(200, {"portalId": portal_id})) == PortalDetails(read)


@pytest.mark.parametrize(
    ("body", "offset_h"),
    [
        ({"timeZone": "Europe/Berlin", "utcOffsetMilliseconds": 0}, 1),
        ({"timeZone": "Nowhere/AtAll", "utcOffsetMilliseconds": -14_400_000}, -4),
        ({"timeZone": "../etc", "utcOffsetMilliseconds": -14_400_000}, -4),
        ({"utcOffsetMilliseconds": 3_600_000}, 1),
        ({"utcOffsetMilliseconds": 1e99}, None),
        ({"portalId": 1}, None),
    ],
)
def test_the_portals_time_zone_is_read_or_at_least_its_offset(body: Any, offset_h: int | None) -> None:
    portal = read_portal(answer(200, body))

    assert isinstance(portal, PortalDetails)
    offset = portal.zone.utcoffset(datetime(2026, 11, 24, 12)) if portal.zone else None  # noqa: DTZ001 - local to it
    assert offset == (None if offset_h is None else timedelta(hours=offset_h))


@pytest.mark.parametrize(
    "body", [b"<html>Sign in</html>", b"[]", b'"ok"', b'{"status": "error", "message": "Sign in", "portalId": 1}']
)
@pytest.mark.parametrize("status", [200, 201, 202, 207])
def test_a_success_that_is_not_hubspots_tells_nothing_whatever_was_asked(status: int, body: bytes) -> None:
    response = answer(status, body)
    read = (read_portal(response), read_allowed(response), read_page(response), read_created(response))

    assert {type(each) for each in (*read, read_send(response, 1))} == {RetryLater}
    assert {type(outcome) for outcome in read_written(response, [ADA]).outcomes.values()} == {RetryLater}


@pytest.mark.parametrize("body", [{}, {"status": "ok"}, {"message": "Accept the terms of this network"}])
def test_an_answer_without_any_detail_of_an_account_tells_no_portal(body: dict[str, str]) -> None:
    assert isinstance(read_portal(answer(200, body)), RetryLater)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>Your subscription does not permit access to this web tier</html>",
        {"message": "You do not have permission to access this resource"},
        {"error": "out of scope"},
        {"status": "error", "message": "Forbidden", "category": "GATEWAY"},
        {},
    ],
)
def test_a_403_that_is_not_hubspots_word_about_scopes_or_tier_passes(body: Any) -> None:
    refusal = read_refusal(answer(403, body))

    assert isinstance(refusal, RetryLater)
    assert (refusal.outage, refusal.blocked) == (True, True)
    assert read_allowed(answer(403, body)) == refusal


@pytest.mark.parametrize(("status", "outage"), [(407, True), (451, True), (511, True), (408, False), (477, False)])
def test_a_status_that_hubspot_does_not_have_is_an_outage_so_that_people_are_told(status: int, *, outage: bool) -> None:
    refusal = read_refusal(answer(status))

    assert isinstance(refusal, RetryLater)
    assert refusal.outage is outage


def test_a_timeline_call_is_taken_or_was_before_or_says_why_not() -> None:
    again = answer(400, {"message": "Event with this uuid already exists"})

    assert read_send(answer(204, b""), 500) is None
    assert read_send(again, 1) is None
    assert isinstance(read_send(again, 2), Rejected)
    assert isinstance(read_send(answer(400, {"message": "Event definition does not exist"}), 1), Rejected)
    assert isinstance(read_send(answer(500), 1), RetryLater)
    assert isinstance(read_send(answer(401), 1), Halt)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "results",
                    "errors",
                    "id",
                    "properties",
                    "email",
                    "context",
                    "objectWriteTraceId",
                    "category",
                    "message",
                    "ids",
                    "policyName",
                    "paging",
                    "next",
                    "after",
                    "portalId",
                    "nerava_event_sequence",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
BODIES = st.binary(max_size=20) | ANYTHING.map(lambda body: json.dumps(body).encode())


@given(st.integers(200, 599), BODIES, st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), max_size=8))
def test_whatever_comes_is_read_and_every_input_gets_one_answer(status: int, body: bytes, retry_after: str) -> None:
    response = answer(status, body, Retry_After=retry_after)

    read = read_written(response, [ADA, GRACE])
    assert sorted([*read.outcomes, *(upsert.trace_id for upsert in read.unclear)]) == ["t1", "t2"]
    alone = read_written(response, [ADA])
    assert (list(alone.outcomes), alone.unclear) == (["t1"], [])
    read_send(response, 2)
    for reader in (read_portal, read_allowed, read_page, read_created, quota_spent_for):
        reader(response)
    known_to(response, [ADA.contact_key])


@pytest.mark.parametrize("half", ["\\ud800", "\\uDFFF", "\\udc00\\ud800"])
def test_half_of_a_surrogate_pair_is_replaced_wherever_hubspot_says_it(half: str) -> None:
    words = f'"category": "{half}", "message": "{half} of ada@example.com"'
    error = f'{{{words}, "context": {{"ids": ["{half}"]}}}}'.encode()
    refused = answer(400, error)
    properties = f'{{"email": "ada@example.com", "phone": "{half}"}}'
    held = f'{{"results": [{{"id": "{half}", "properties": {properties}}}]}}'.encode()

    refusal = read_refusal(refused)
    assert isinstance(refusal, Rejected)
    assert refusal.detail.encode().startswith(b"400 ?")
    [outcome] = read_written(answer(207, b'{"errors": [' + error + b"]}"), [ADA]).outcomes.values()
    assert isinstance(outcome, Rejected)
    assert outcome.detail.encode().endswith(b"? of a***@example.com")
    contacts = read_remote_contacts(answer(200, held), [ADA.contact_key])
    assert isinstance(contacts, dict)
    contact = contacts[ADA.contact_key]
    assert contact is not None
    assert json.dumps([contact.contact_id, contact.properties["phone"]], ensure_ascii=False).encode().count(b"?") >= 2


@pytest.mark.parametrize("letters", range(470, 500))
def test_a_detail_is_cut_through_neither_an_email_nor_a_token(letters: int) -> None:
    for hidden in ("ada.lovelace@example.com", TOKEN):
        refusal = read_refusal(answer(400, {"message": "x" * letters + f" {hidden} " + "a@b " * 1_000}))

        assert isinstance(refusal, Rejected)
        assert len(refusal.detail) <= LONGEST_DETAIL
        assert hidden[:7] not in refusal.detail


def test_a_value_that_hubspot_takes_and_does_not_keep_is_named() -> None:
    given = Upsert("t1", ContactKey("ada@example.com"), {"nerava_role": "driver", "nerava_nova_balance_cents": "5"})
    held = {"nerava_role": "merchant", "nerava_nova_balance_cents": "5.0"}
    result = {"id": "1", "objectWriteTraceId": "t1", "properties": held}

    outcomes = read_written(answer(200, {"results": [result]}), [given]).outcomes

    assert outcomes == {"t1": Delivered("1", kept=frozenset({"nerava_role"}))}
