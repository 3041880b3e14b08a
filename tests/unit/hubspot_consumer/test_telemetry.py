"""The consumer's metrics: times, with the traces to look at, and numbers that an alert can see rise from the start."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, get_args
from uuid import UUID

import httpx
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from hubspot_consumer.hubspot.connection import CallMade
from hubspot_consumer.hubspot.daily_quota import DailyQuota
from hubspot_consumer.hubspot.outcomes import Halt, HaltReason
from hubspot_consumer.hubspot.rate_limiter import RateLimiter
from hubspot_consumer.kafka.records import Record
from hubspot_consumer.metrics import Telemetry
from hubspot_consumer.ordering.pending import Pending
from hubspot_consumer.worker.status import Status, endpoints
from producer.telemetry import Telemetry as ProducersTelemetry
from runtime.health import Health
from schemas.envelope import Headers
from tests.clock import START, OwnedClock
from tests.parts import idle_parts, status_of
from tests.samples import read

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SAMPLED, NOT_SAMPLED = f"00-{TRACE_ID}-00f067aa0ba902b7-01", f"00-{TRACE_ID}-00f067aa0ba902b7-00"
OPENMETRICS = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"}
NEVER = UUID("ffffffff-ffff-7fff-bfff-ffffffffffff")


def id_of(moment: datetime) -> UUID:
    """Return an event's id as the outbox makes them."""
    milliseconds = int(moment.timestamp() * 1000)
    return UUID(int=milliseconds << 80 | 7 << 76 | 0b10 << 62 | 1)


def event(event_id: UUID, at: datetime = START, traceparent: str | None = None) -> Pending:
    headers = Headers(str(event_id), "nova_earned", 1, traceparent).encode()
    record = Record("lifecycle.nova_earned", 0, 0, at, b"", b"", headers)
    return Pending(1, read().model_copy(update={"id": event_id}), record, lambda: None)


def sample(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


async def metrics(status: Status, telemetry: Telemetry, headers: Mapping[str, str]) -> httpx.Response:
    transport = httpx.ASGITransport(endpoints(status, telemetry))
    async with httpx.AsyncClient(transport=transport, base_url="http://worker") as http:
        return await http.get("/metrics", headers=headers)


def test_an_event_counts_from_its_record_and_from_the_transaction_that_tracked_it() -> None:
    telemetry = Telemetry()

    telemetry.delivered(event(id_of(START), at=START + timedelta(seconds=7)), START + timedelta(seconds=10))

    assert sample(telemetry.registry, "hubspot_consumer_delivery_seconds_sum") == 3
    assert sample(telemetry.registry, "hubspot_consumer_event_age_seconds_sum") == 10
    assert sample(telemetry.registry, "hubspot_consumer_events_delivered_total", type="nova_earned") == 1


@pytest.mark.parametrize("unknown", [UUID("00000000-0000-4000-8000-000000000001"), UUID(int=1), NEVER])
def test_an_id_that_tells_no_time_leaves_the_age_uncounted(unknown: UUID) -> None:
    telemetry = Telemetry()

    telemetry.delivered(event(unknown), START)

    assert sample(telemetry.registry, "hubspot_consumer_event_age_seconds_count") == 0
    assert sample(telemetry.registry, "hubspot_consumer_delivery_seconds_count") == 1


def test_what_is_ahead_of_our_clock_is_new() -> None:
    telemetry = Telemetry()

    telemetry.delivered(event(id_of(START + timedelta(days=1)), START + timedelta(seconds=2)), START)

    assert sample(telemetry.registry, "hubspot_consumer_event_age_seconds_sum") == 0
    assert sample(telemetry.registry, "hubspot_consumer_delivery_seconds_sum") == 0


async def test_the_times_have_the_trace_of_an_event_as_their_exemplar_in_openmetrics() -> None:
    telemetry = Telemetry()
    telemetry.delivered(event(id_of(START), traceparent=SAMPLED), START + timedelta(seconds=3))

    response = await metrics(status_of(), telemetry, OPENMETRICS)

    assert response.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    exemplars = {
        one.name: one.exemplar
        for family in text_string_to_metric_families(response.text)  # type: ignore[no-untyped-call]
        for one in family.samples
        if one.exemplar
    }
    assert set(exemplars) == {"hubspot_consumer_delivery_seconds_bucket", "hubspot_consumer_event_age_seconds_bucket"}
    assert {(one.labels["trace_id"], one.value) for one in exemplars.values()} == {(TRACE_ID, 3.0)}


@pytest.mark.parametrize("traceparent", [None, NOT_SAMPLED, "no traceparent", f"00-{'0' * 32}-{'0' * 16}-01", "é" * 99])
async def test_a_trace_that_nobody_recorded_is_no_exemplar(traceparent: str | None) -> None:
    telemetry = Telemetry()
    telemetry.delivered(event(id_of(START), traceparent=traceparent), START)

    assert "trace_id" not in (await metrics(status_of(), telemetry, OPENMETRICS)).text


async def test_whoever_does_not_ask_for_openmetrics_gets_the_text_format() -> None:
    response = await metrics(status_of(), Telemetry(), {"Accept": "text/plain"})

    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "# EOF" not in response.text


def test_a_call_is_counted_by_its_status_and_timed_where_it_was_answered() -> None:
    telemetry = Telemetry()

    telemetry.call(CallMade("upsert", "200", inputs=100, seconds=0.5))
    telemetry.call(CallMade("upsert", "ReadTimeout", inputs=2, seconds=None))
    telemetry.call(CallMade("account", "200", inputs=0, seconds=0.25))

    registry = telemetry.registry
    assert sample(registry, "hubspot_consumer_calls_total", kind="upsert", status="ReadTimeout") == 1
    assert sample(registry, "hubspot_consumer_call_seconds_sum", kind="upsert") == 0.5
    assert sample(registry, "hubspot_consumer_call_seconds_count", kind="upsert") == 1
    assert sample(registry, "hubspot_consumer_batch_size_sum", kind="upsert") == 102
    assert sample(registry, "hubspot_consumer_batch_size_count", kind="account") is None


async def test_gauges_tell_what_the_status_tells() -> None:
    clock = OwnedClock()
    daily = DailyQuota(1_000, clock)
    daily.observe({"X-HubSpot-RateLimit-Daily": "1000", "X-HubSpot-RateLimit-Daily-Remaining": "900"})
    rate_limiter = RateLimiter(100, 10, daily, clock)
    rate_limiter.divide(0.5)
    (await rate_limiter.slot()).give_back()
    await rate_limiter.slot()
    parts, telemetry = idle_parts(clock, limiter=rate_limiter), Telemetry()
    status = status_of(parts)
    status.health.ill("kafka", "no broker answers")
    parts.core.breaker.trip(Halt("token_refused", "401"))
    telemetry.shows(status.report)

    def one(name: str, **labels: str) -> float | None:
        return sample(telemetry.registry, f"hubspot_consumer_{name}", **labels)

    assert (one("halted", reason="token_refused"), one("halted", reason="scope_missing")) == (1, 0)
    assert (one("unwell", part="kafka"), one("unwell", part="hubspot"), one("unwell", part="progress")) == (1, 1, 0)
    assert (one("mode", mode="live"), one("mode", mode="dry_run")) == (1, 0)
    assert (one("quota_calls", quota="burst", state="used"), one("quota_calls", quota="burst", state="left")) == (1, 49)
    assert (one("quota_calls", quota="daily", state="used"), one("quota_calls", quota="daily", state="left")) == (
        100,
        900,
    )


def test_counters_that_alerts_watch_are_there_before_the_first_event() -> None:
    consumers, producers = Telemetry(), ProducersTelemetry()
    consumers.shows(status_of().report)

    assert sample(consumers.registry, "hubspot_consumer_dead_letters_total", reason="invalid_envelope") == 0
    assert sample(consumers.registry, "hubspot_consumer_dead_letters_total", reason="rejected_by_hubspot") == 0
    assert sample(consumers.registry, "hubspot_consumer_holes_released_total") == 0
    assert sample(producers.registry, "producer_dead_letters_total", reason="too_large") == 0
    assert sample(producers.registry, "producer_events_published_total", type="nova_earned") == 0


def test_every_reason_to_halt_is_a_series_so_that_an_alert_is_seen_to_end() -> None:
    telemetry = Telemetry()
    telemetry.shows(status_of().report)

    reasons: tuple[Any, ...] = get_args(HaltReason)
    assert [sample(telemetry.registry, "hubspot_consumer_halted", reason=reason) for reason in reasons] == [0] * 9


def test_a_backlog_that_nobody_can_see_is_not_a_number() -> None:
    telemetry, health = ProducersTelemetry(), Health()
    telemetry.shows(health)
    assert str(sample(telemetry.registry, "producer_backlog_events")) == "nan"
    telemetry.backlog.set(3)
    assert sample(telemetry.registry, "producer_backlog_events") == 3

    telemetry.backlog_unknown()
    health.ill("database", "connecting")

    assert str(sample(telemetry.registry, "producer_backlog_oldest_seconds")) == "nan"
    assert sample(telemetry.registry, "producer_unwell", part="database") == 1
    assert sample(telemetry.registry, "producer_unwell", part="kafka") == 0


def test_an_event_tells_when_it_was_tracked() -> None:
    assert read().model_copy(update={"id": id_of(START)}).tracked_at == START
