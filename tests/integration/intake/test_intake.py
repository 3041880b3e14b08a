"""The intake: what it takes is committed when it answers, and what it refuses leaves nothing behind."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from producer.intake.endpoints import LARGEST_BODY, LARGEST_EVENT
from producer.intake.submissions import LARGEST_BATCH
from schemas.events import EVENT_TYPES
from tests.outbox.intake import OLD_TOKEN, TOKEN, Caller, calling, code
from tests.samples import PAYLOADS

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OTHER_TRACE = "00-11111111111111111111111111111111-2222222222222222-00"
SIGNED_UP, EARNED = PAYLOADS["driver_signed_up"], PAYLOADS["nova_earned"]


@pytest.fixture
async def caller(database_url: str) -> AsyncIterator[Caller]:
    async with calling(database_url) as calls:
        yield calls


async def test_an_event_is_in_the_outbox_when_it_is_answered(caller: Caller) -> None:
    answer = await caller.post(Occurred_At="2026-11-24T03:00:00+01:00", traceparent=TRACE)

    assert answer.status_code == 202
    ((event_id, contact, event_type, envelope, trace),) = await caller.rows()
    assert answer.json() == {"id": str(event_id)}
    assert (contact, event_type, trace) == ("ada@example.com", "driver_signed_up", TRACE)
    assert envelope["occurred_at"] == "2026-11-24T02:00:00.000000Z"
    assert caller.counted("accepted") == 1


@pytest.mark.parametrize("event_type", EVENT_TYPES)
async def test_every_type_of_event_is_taken(caller: Caller, event_type: str) -> None:
    answer = await caller.post(event_type)

    assert await caller.ids() == [answer.json()["id"]]


async def test_an_event_of_a_user_without_an_email_is_taken_and_parked(caller: Caller) -> None:
    answer = await caller.post("nova_earned")

    assert answer.status_code == 202
    assert await caller.rows() == []
    assert await caller.ids() == [answer.json()["id"]]


async def test_a_trace_that_nobody_can_read_does_not_refuse_the_event(caller: Caller) -> None:
    await caller.post(traceparent="no trace")

    assert [row[4] for row in await caller.rows()] == [None]


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", TOKEN],
)
async def test_without_a_token_nothing_is_taken(caller: Caller, authorization: str | None) -> None:
    caller.http.headers.pop("Authorization")
    headers = {} if authorization is None else {"Authorization": authorization}

    single, batch = await caller.post(**headers), await caller.http.post("/v1/events:batch", json=[], headers=headers)

    assert (single.status_code, code(single), code(batch)) == (401, "unauthorized", "unauthorized")
    assert single.headers["www-authenticate"].startswith("Bearer")
    assert TOKEN[:-1] not in single.text
    assert await caller.ids() == []


@pytest.mark.parametrize("authorization", [f"Bearer {OLD_TOKEN}", f"bearer  {TOKEN} "])
async def test_each_of_several_tokens_is_taken(caller: Caller, authorization: str) -> None:
    assert (await caller.post(Authorization=authorization)).status_code == 202


async def test_a_type_that_does_not_exist_is_not_found_and_the_answer_lists_those_that_do(caller: Caller) -> None:
    answer = await caller.http.post("/v1/events/coffee_drunk", json={})

    assert (answer.status_code, code(answer)) == (404, "unknown_event_type")
    assert all(event_type in answer.json()["detail"] for event_type in EVENT_TYPES)
    assert "coffee_drunk" not in answer.text


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("amount_cents", -1, "greater than or equal to 0"),
        ("amount_cents", float("nan"), "valid integer"),
        ("amount_cents", float("inf"), "valid integer"),
        ("amount_cents", 10**400, "less than or equal to"),
        ("amount_cents", "500", "valid integer"),
        ("session_id", "", "at least 1 character"),
        ("session_id", "a\0b", "U+0000"),
        ("session_id", "\ud800", "unicode"),
        ("session_id", ["ada@example.com"], "valid string"),
        ("earned_at", "2026-11-24T03:00:00", "timezone"),
        ("earned_at", "0001-01-01T00:00:00+01:00", "years 1 to 9999"),
        ("earned_at", "9999-12-31T23:59:59-08:00", "years 1 to 9999"),
        ("user_id", "u" * 256, "at most 255 characters"),
        ("user_id", "a\0b", "U+0000"),
        ("user_id", "\ud800", "unicode"),
        ("\0", 1, "not permitted"),
        ("ada@example.com", 1, "not permitted"),
    ],
)
async def test_a_field_at_fault_is_named_and_its_value_is_not_shown(
    caller: Caller, field: str, value: Any, said: str
) -> None:
    payload = EARNED | {field: value}
    answer = await caller.post("nova_earned", payload)

    assert (answer.status_code, code(answer)) == (422, "invalid_event")
    (fault,) = answer.json()["errors"]
    assert fault["field"] == field.replace("ada@", "a***@")
    assert said in fault["detail"]
    assert "ada@example.com" not in answer.text
    assert await caller.ids() == []


async def test_an_integer_of_thousands_of_digits_is_a_fault_of_its_field(caller: Caller) -> None:
    body = '{"amount_cents": ' + "9" * 10_000 + "}"
    answer = await caller.http.post(
        "/v1/events/nova_earned", content=body, headers={"Idempotency-Key": "k", "Content-Type": "application/json"}
    )

    assert answer.status_code == 422
    assert "amount_cents" in [fault["field"] for fault in answer.json()["errors"]]


@pytest.mark.parametrize(
    "time", ["yesterday", "2026-11-24T03:00:00", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00+14:00"]
)
async def test_a_time_that_no_reader_could_use_is_a_fault_of_its_header(caller: Caller, time: str) -> None:
    answer = await caller.post(Occurred_At=time)

    assert [fault["field"] for fault in answer.json()["errors"]] == ["Occurred-At"]
    assert await caller.ids() == []


@pytest.mark.parametrize(
    ("body", "headers", "status", "problem"),
    [
        (b"{", {}, 400, "malformed_json"),
        (b"", {}, 400, "malformed_json"),
        (b"\xff", {}, 400, "malformed_json"),
        (b"[" * 100_000, {}, 400, "malformed_json"),
        (b'{"a":' * 100_000, {}, 400, "malformed_json"),
        (b"[]", {}, 422, "invalid_event"),
        (b"1", {}, 422, "invalid_event"),
        (b"{}", {"Content-Type": "text/plain"}, 415, "unsupported_media_type"),
        (b"{}", {"Content-Type": "application/json; charset=utf-16"}, 415, "unsupported_media_type"),
        (b"{}", {"Content-Encoding": "gzip"}, 415, "unsupported_media_type"),
        (b"{}", {"Idempotency-Key": ""}, 400, "bad_idempotency_key"),
        (b"{}", {"Idempotency-Key": "x" * 256}, 400, "bad_idempotency_key"),
        (b"{}", {"Idempotency-Key": '"half'}, 400, "bad_idempotency_key"),
        (b" " * (LARGEST_EVENT + 1), {}, 413, "too_large"),
    ],
)
async def test_a_body_that_is_no_payload_is_refused(
    caller: Caller, body: bytes, headers: dict[str, str], status: int, problem: str
) -> None:
    sent = {"Content-Type": "application/json", "Idempotency-Key": "key-1"} | headers
    answer = await caller.http.post("/v1/events/driver_signed_up", content=body, headers=sent)

    assert (answer.status_code, code(answer)) == (status, problem)
    assert caller.counted(problem) == 1
    assert await caller.ids() == []


async def test_the_key_is_required(caller: Caller) -> None:
    answer = await caller.http.post("/v1/events/driver_signed_up", json=SIGNED_UP)

    assert (answer.status_code, code(answer)) == (400, "bad_idempotency_key")


@pytest.mark.parametrize("path", ["/v1/events/driver_signed_up", "/v1/events:batch"])
async def test_a_body_without_a_length_is_read_no_further_than_the_limit(caller: Caller, path: str) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 10 * LARGEST_BODY:
            sent += 64 * 1024
            yield b" " * 64 * 1024

    answer = await caller.http.post(
        path, content=endless(), headers={"Content-Type": "application/json", "Idempotency-Key": "k"}
    )

    assert (answer.status_code, code(answer)) == (413, "too_large")
    assert sent <= LARGEST_BODY + 64 * 1024


async def test_what_http_itself_refuses_is_a_problem_too(caller: Caller) -> None:
    absent, wrong = await caller.http.get("/v1/nowhere"), await caller.http.get("/v1/events/nova_earned")

    assert (absent.status_code, code(absent)) == (404, "about:blank")
    assert (wrong.status_code, code(wrong), wrong.headers["allow"]) == (405, "about:blank", "POST")


async def test_a_batch_is_taken_in_its_order(caller: Caller) -> None:
    answer = await caller.batch(
        [
            {"type": "nova_earned", "payload": EARNED, "traceparent": TRACE},
            {"type": "driver_signed_up", "payload": SIGNED_UP, "occurred_at": "2026-11-24T03:00:00Z"},
            {"type": "nova_earned", "payload": EARNED, "traceparent": OTHER_TRACE},
        ]
    )

    assert answer.status_code == 202
    rows = await caller.rows()
    assert [str(row[0]) for row in rows] == answer.json()["ids"]
    assert [row[3]["sequence"] for row in rows] == [1, 2, 3]
    assert [row[4] for row in rows] == [TRACE, None, OTHER_TRACE]
    assert rows[1][3]["occurred_at"] == "2026-11-24T03:00:00.000000Z"


async def test_a_batch_with_a_fault_is_refused_whole_and_each_fault_has_its_index(caller: Caller) -> None:
    answer = await caller.batch(
        [
            {"type": "driver_signed_up", "payload": SIGNED_UP},
            {"type": "nova_earned", "payload": EARNED | {"amount_cents": -1}},
            {"type": "ada@example.com", "payload": {}},
            {"type": "nova_earned", "payload": [], "traceparent": "x"},
            "ada@example.com",
            {"type": "nova_earned", "payload": None},
        ]
    )

    assert (answer.status_code, code(answer)) == (422, "invalid_event")
    named = [(fault["index"], fault["field"]) for fault in answer.json()["errors"]]
    assert named == [(1, "payload.amount_cents"), (2, "type"), (3, "traceparent"), (4, "value"), (5, "payload")]
    assert "ada@example.com" not in answer.text
    assert await caller.ids() == []


@pytest.mark.parametrize("items", [[], {}, [{"type": "driver_signed_up", "payload": SIGNED_UP}] * (LARGEST_BATCH + 1)])
async def test_a_batch_has_a_size(caller: Caller, items: Any) -> None:
    answer = await caller.batch(items)

    assert (answer.status_code, code(answer)) == (422, "invalid_event")


async def test_the_largest_batch_is_taken(caller: Caller) -> None:
    answer = await caller.batch([{"type": "driver_signed_up", "payload": SIGNED_UP}] * LARGEST_BATCH)

    assert answer.status_code == 202
    assert len(await caller.ids()) == LARGEST_BATCH


async def test_a_thousand_faults_make_a_short_answer(caller: Caller) -> None:
    answer = await caller.post(payload={f"{'x' * 200}{number}": 1 for number in range(1_000)})

    assert answer.status_code == 422
    assert len(answer.content) < 20_000


async def test_the_page_and_the_document_need_no_token_and_hold_none(caller: Caller) -> None:
    caller.http.headers.pop("Authorization")

    page, document = await caller.http.get("/docs"), await caller.http.get("/openapi.json")

    assert (page.status_code, document.status_code) == (200, 200)
    assert TOKEN not in page.text + document.text
