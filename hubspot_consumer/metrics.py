"""The consumer's Prometheus metrics, in their own registry, which /metrics and the journal read."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import cache
from typing import Any, Final, Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from hubspot_consumer.hubspot.connection import CallMade
from hubspot_consumer.hubspot.outcomes import Delivered, Halt, HaltReason, Outcome, Rejected, Rejection, RetryLater
from hubspot_consumer.kafka.positions import Gap
from hubspot_consumer.ordering.lane import ContactUpdate
from hubspot_consumer.ordering.pending import Pending
from hubspot_consumer.settings import Mode, TimelineSetting
from runtime.tracing import recorded_trace_id_of
from schemas.envelope import Unreadable
from schemas.events import EVENTS

ResyncReason = Literal["deleted", "hole_released", "sequence_doubtful"]
"""Why a contact is written again from the topics. A metric has these words, so they are a public contract."""

LATENCY_BUCKETS_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 43200)
CALL_BUCKETS_S: Final = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6)
BATCH_BUCKETS: Final = (1, 2, 5, 10, 25, 50, 75, 99, 100, 250, 499, 500)
FOLD_BUCKETS: Final = (1, 2, 3, 5, 10, 20, 50, 100, 500)


class Telemetry:
    """Every metric of the consumer, by name."""

    def __init__(self) -> None:
        self.registry: Final = CollectorRegistry()
        self.read = Counter("hubspot_consumer_events_read", "Records read", ["topic"], registry=self.registry)
        # `labels` takes a lock and builds its key anew at each call, for a handful of topics and types.
        self.read_of: Final = cache(self.read.labels)
        self.events_delivered = Counter(
            "hubspot_consumer_events_delivered", "Events that HubSpot holds", ["type"], registry=self.registry
        )
        self._delivered_of: Final = cache(self.events_delivered.labels)
        self.suppressed = Counter(
            "hubspot_consumer_events_suppressed", "Events of suppressed contacts, not sent", registry=self.registry
        )
        self.dead_letters = Counter(
            "hubspot_consumer_dead_letters", "Events set aside", ["reason"], registry=self.registry
        )
        self.receipts = Counter(
            "hubspot_consumer_receipts", "Receipts that Kafka took, and those given up", ["end"], registry=self.registry
        )
        self.gaps = Counter(
            "hubspot_consumer_reading_gaps",
            "Times that records did not come as expected, by why",
            ["why"],
            registry=self.registry,
        )
        self.unverified = Counter(
            "hubspot_consumer_sequence_unverified",
            "Events taken for repeats by their sequence alone, because the id of the applied event is not known",
            registry=self.registry,
        )
        self.resyncs = Counter(
            "hubspot_consumer_resyncs_wanted",
            "Contacts to be written again from the topics, because of what somebody did in HubSpot, by why",
            ["why"],
            registry=self.registry,
        )
        self.calls = Counter("hubspot_consumer_calls", "Calls to HubSpot", ["kind", "status"], registry=self.registry)
        self._call_seconds = Histogram(
            "hubspot_consumer_call_seconds",
            "From a call's request to HubSpot's answer, where there was one",
            ["kind"],
            buckets=CALL_BUCKETS_S,
            registry=self.registry,
        )
        self._batch_size = Histogram(
            "hubspot_consumer_batch_size",
            "Contacts, timeline entries or notes in a call",
            ["kind"],
            buckets=BATCH_BUCKETS,
            registry=self.registry,
        )
        self._fold_events = Histogram(
            "hubspot_consumer_fold_events",
            "Consecutive events of one contact that go as one",
            buckets=FOLD_BUCKETS,
            registry=self.registry,
        )
        self._outcomes = Counter(
            "hubspot_consumer_upsert_outcomes", "Outcomes of upserts, by contact", ["outcome"], registry=self.registry
        )
        self._latency = Histogram(
            "hubspot_consumer_delivery_seconds",
            "From the record's timestamp in Kafka to HubSpot's answer",
            buckets=LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self._age = Histogram(
            "hubspot_consumer_event_age_seconds",
            "From the transaction that tracked the event, by the time in its id, to HubSpot's answer",
            buckets=LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self._begin_at_zero()

    def shows(self, report: Callable[[], Mapping[str, Any]]) -> None:
        """Register gauges that call *report* at each scrape."""
        self.registry.register(Gauges(report))

    def call(self, call: CallMade) -> None:
        """Count a call, answered or not."""
        self.calls.labels(call.kind, call.status).inc()
        if call.seconds is not None:
            self._call_seconds.labels(call.kind).observe(call.seconds)
        if call.inputs:
            self._batch_size.labels(call.kind).observe(call.inputs)

    def gap(self, why: Gap) -> None:
        """Count a gap in the records that were read."""
        self.gaps.labels(why).inc()

    def taken(self, updates: Iterable[ContactUpdate]) -> None:
        """Observe the sizes of contact updates that go into a call."""
        for update in updates:
            self._fold_events.observe(len(update.events))

    def upserted(self, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            self._outcomes.labels(type(outcome).__name__).inc()

    def delivered(self, event: Pending, now: datetime) -> None:
        """Count an event that was delivered at *now*, and observe its latency and age."""
        if (envelope := event.envelope) is None:
            return
        self._delivered_of(envelope.type).inc()
        traceparent = event.record.traceparent
        trace_id = recorded_trace_id_of(traceparent) if traceparent else None
        exemplar = {"trace_id": trace_id} if trace_id else None
        self._latency.observe(_seconds(event.record.timestamp, now), exemplar)
        # The event id of a hand-made record may contain no time.
        if envelope.tracked_at is not None:
            self._age.observe(_seconds(envelope.tracked_at, now), exemplar)

    def _begin_at_zero(self) -> None:
        # Prometheus sees no increase in a counter that appears with its first event, so no alert would fire.
        labels: Mapping[Counter, Iterable[str]] = {
            self.dead_letters: (*get_args(Unreadable), *get_args(Rejection)),
            self.events_delivered: EVENTS,
            self._outcomes: [outcome.__name__ for outcome in (Delivered, RetryLater, Rejected, Halt)],
            self.gaps: get_args(Gap),
            self.receipts: ("written", "dropped"),
            self.resyncs: get_args(ResyncReason),
        }
        for counter, values in labels.items():
            for value in values:
                counter.labels(value)
        for kind in ("create_contacts", "upsert", "read", "note"):
            self.calls.labels(kind, "429")


def _seconds(since: datetime, now: datetime) -> float:
    # The times are from several machines: a time that is ahead of this clock counts as now.
    return max(0.0, (now - since).total_seconds())


PREFIX: Final = "hubspot_consumer"
# These parts always have a value, so that an alert on one of them ends with a 0.
PARTS: Final = ("worker", "kafka", "topics", "reading", "portal", "hubspot", "progress")


class Gauges(Collector):
    """Gauges of the status report, which *report* returns at each scrape."""

    def __init__(self, report: Callable[[], Mapping[str, Any]]) -> None:
        self._report: Final = report

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        report = self._report()
        contacts = dict(report["contacts"])
        released = contacts.pop("holes_released", 0)
        halted = report["halted"]["reason"] if report["halted"] else None
        yield _gauge(
            "mode", "1 for the mode of this worker", {(mode,): mode == report["mode"] for mode in _MODES}, "mode"
        )
        yield _gauge(
            "unwell",
            "1 while a part is unwell",
            {(part,): part in report["unwell"] for part in (*PARTS, *(report["unwell"].keys() - set(PARTS)))},
            "part",
        )
        yield _gauge(
            "halted",
            "1 while sending is halted, by reason",
            {(reason,): reason == halted for reason in get_args(HaltReason)},
            "reason",
        )
        yield _gauge(
            "timeline_mode",
            "1 for the form that timeline entries have now",
            {(mode,): mode == report["timeline"] for mode in _TIMELINE_MODES},
            "mode",
        )
        yield CounterMetricFamily(
            f"{PREFIX}_timeline_left_out",
            "Timeline entries that were not sent because the portal took no form of them",
            value=report["timeline_left_out"],
        )
        yield _gauge("lag_events", "Events that the group has not acked", _by_one(report["lag"]), "topic")
        yield _gauge("contacts", "Contacts with pending events, by what they wait for", _by_one(contacts), "state")
        yield CounterMetricFamily(
            f"{PREFIX}_holes_released", "Contacts that went on without an event that never came", value=released
        )
        yield GaugeMetricFamily(
            f"{PREFIX}_contacts_held",
            "Contacts that a reprocessing run holds",
            value=(report["reprocessing"] or {}).get("contacts_held", 0),
        )
        yield GaugeMetricFamily(
            f"{PREFIX}_quota_lent",
            "Part of the quota that reprocessing has of it",
            value=(report["quota"] or {}).get("lent", 0.0),
        )
        yield _gauge(
            "in_flight",
            "Events read and not finished, and calls without an answer",
            _by_one(report["in_flight"]),
            "what",
        )
        yield _gauge(
            "quota_calls",
            "Calls of this worker's part of the burst quota, and of the account's day, used and left",
            _quota(report["quota"]),
            "quota",
            "state",
        )


_MODES: Final[tuple[Mode, ...]] = get_args(Mode)
_TIMELINE_MODES: Final = tuple(mode for mode in get_args(TimelineSetting) if mode != "auto")


def _by_one(values: Mapping[str, float]) -> dict[tuple[str, ...], float]:
    return {(label,): value for label, value in values.items()}


def _quota(quota: Mapping[str, Any] | None) -> dict[tuple[str, ...], float]:
    if quota is None:
        return {}
    return {
        ("burst", "used"): quota["used"],
        ("burst", "left"): quota["left"],
        ("daily", "used"): quota["daily_limit"] - quota["daily_remaining"],
        ("daily", "left"): quota["daily_remaining"],
    }


def _gauge(name: str, text: str, values: Mapping[tuple[str, ...], float], *labels: str) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=labels)
    for of, value in values.items():
        family.add_metric(of, float(value))
    return family
