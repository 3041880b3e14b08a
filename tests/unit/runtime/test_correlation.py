"""Correlation: what log lines say of a record, a row and a call, and the line a minute that says how it is going."""

import asyncio
import json
from functools import partial
from typing import Any, cast

import httpx
import pytest
from aiokafka.errors import KafkaConnectionError
from prometheus_client import CollectorRegistry, Counter, Gauge
from structlog.testing import capture_logs

from hubspot_consumer.dead_letters.writer import DeadLetterWriter
from hubspot_consumer.hubspot.bodies import LONGEST_NAME
from hubspot_consumer.hubspot.outcomes import Halt
from hubspot_consumer.hubspot.status_codes import policy_of, read_item_refusal, read_refusal
from hubspot_consumer.metrics import Telemetry
from producer.relay.row import Row
from runtime.health import Health
from runtime.journal import TELL_EVERY_S, keep_journal, reading
from runtime.logs import log
from schemas.contacts import ContactKey, contact_hash
from tests.clock import OwnedClock
from tests.parts import status_of
from tests.samples import EMAIL, TOKEN, pending, record

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-00"
HASH = contact_hash(ContactKey(EMAIL))
HEADERS = [("id", b"of the event"), ("traceparent", TRACEPARENT.encode())]


def test_a_record_tells_its_event_its_contact_its_place_and_its_trace() -> None:
    told = record(partition=3, offset=17, key=EMAIL.encode(), headers=HEADERS).log_fields

    assert told == {
        "event_id": "of the event",
        "contact": HASH,
        "record": "lifecycle.nova_earned-3-17",
        "trace_id": TRACE,
    }


@pytest.mark.parametrize("key", [b"", b"\xff", b"nobody"])
def test_a_record_that_nobody_can_read_tells_where_it_is(key: bytes) -> None:
    told = record(key=key, headers=[("traceparent", b"rubbish"), ("id", b"x" * 1_000_000)]).log_fields

    assert told == {"record": "lifecycle.nova_earned-0-0", "event_id": "x" * 64}


def test_an_event_is_told_by_its_envelope_where_the_record_has_no_header() -> None:
    assert pending(12, lambda: None).log_fields["event_id"] == "00000000-0000-0000-0000-00000000000c"


def test_a_row_tells_the_same_of_its_event() -> None:
    assert Row(1, "id", EMAIL, "nova_earned", 1, "{}", TRACEPARENT).log_fields == {
        "event_id": "id",
        "contact": HASH,
        "trace_id": TRACE,
    }
    assert Row(1, "id", None, "nova_earned", None, None, None).log_fields == {"event_id": "id"}


async def test_a_dead_letter_is_told_with_all_that_is_known_of_its_record() -> None:
    class Kafka:
        attempts = 0

        async def send_and_wait(self, *_: object, **__: object) -> None:
            self.attempts += 1
            if self.attempts == 1:
                raise KafkaConnectionError

    letters = DeadLetterWriter(cast("Any", Kafka()), "lifecycle.dead_letters", OwnedClock(), Telemetry())
    with capture_logs() as lines:
        await letters.put(record(key=EMAIL.encode(), headers=HEADERS), "invalid_envelope", "payload: is missing", 2)

    place = {"event_id": "of the event", "contact": HASH, "record": "lifecycle.nova_earned-0-0", "trace_id": TRACE}
    first, second = lines
    assert first == {
        "event": "dead_letter.not_written",
        "log_level": "warning",
        "error": "KafkaConnectionError",
        **place,
    }
    assert second == {
        "event": "dead_letter.written",
        "log_level": "warning",
        "reason": "invalid_envelope",
        "detail": "payload: is missing",
        "attempts": 2,
        **place,
    }


def answered(status: int, body: object, correlation_id: str = "4f6e") -> httpx.Response:
    headers = {"X-HubSpot-Correlation-Id": correlation_id} if correlation_id else {}
    request = httpx.Request("POST", "http://hubspot/")
    return httpx.Response(status, headers=headers, content=json.dumps(body).encode(), request=request)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 423, 429, 500, 502])
def test_every_refusal_has_hubspots_name_of_the_call(status: int) -> None:
    assert read_refusal(answered(status, {})).correlation_id == "4f6e"
    assert read_refusal(answered(status, {}, "")).correlation_id is None
    assert len(read_refusal(answered(status, {}, "x" * 10_000)).correlation_id or "") == LONGEST_NAME


@pytest.mark.parametrize("category", ["VALIDATION_ERROR", "RATE_LIMITS"])
def test_so_has_the_refusal_of_one_input(category: str) -> None:
    assert read_item_refusal({"category": category}, answered(207, {})).correlation_id == "4f6e"


def test_the_limit_that_refused_a_call_is_told_if_it_is_a_name() -> None:
    assert policy_of(answered(429, {"policyName": "TEN_SECONDLY_ROLLING"})) == "TEN_SECONDLY_ROLLING"
    assert policy_of(answered(429, {"policyName": ["no name"]})) is None
    assert policy_of(answered(502, "Bad gateway")) is None
    assert len(policy_of(answered(429, {"policyName": "x" * 10_000})) or "") == LONGEST_NAME


def test_what_a_refusal_quotes_of_a_token_or_an_email_is_masked() -> None:
    refusal = read_refusal(answered(401, {"message": f"Bearer {TOKEN} of {EMAIL} has expired"}))

    assert isinstance(refusal, Halt)
    assert "Bearer *** of a***@example.com has expired" in refusal.detail


async def test_the_journal_tells_at_once_and_every_minute_what_was_done_in_it() -> None:
    registry, clock = CollectorRegistry(), OwnedClock()
    delivered = Counter("delivered", "Events", ["type"], registry=registry)
    backlog = Gauge("backlog", "Rows", registry=registry)
    minutes = [(3, 5), (0, 5), (2, 0)]
    waits = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        if not minutes:
            raise asyncio.CancelledError
        events, rows = minutes.pop(0)
        delivered.labels("a").inc(events)
        delivered.labels("b").inc(events)
        backlog.set(rows)

    clock.sleep = sleep  # type: ignore[method-assign]
    line = partial(log.info, "worker.progress")
    with capture_logs() as lines, pytest.raises(asyncio.CancelledError):
        await keep_journal(line, {"delivered": delivered}, lambda: {"backlog": reading(backlog)}, clock)

    assert [(line["delivered"], line["backlog"]) for line in lines] == [(0, 0), (6, 5), (0, 5), (4, 0)]
    assert set(waits) == {TELL_EVERY_S}


def test_a_worker_that_has_not_begun_says_that_nobody_knows_its_lag() -> None:
    health = Health()
    health.ill("kafka", "no broker answers")

    assert status_of(health=health).in_a_line() == {
        "lag": None,
        "unfinished": 0,
        "waiting_for_earlier_event": 0,
        "halted": None,
        "unwell": ["kafka"],
    }
