"""What the consumer counts: Prometheus metrics in a registry of its own, read by /metrics and /v1/status."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from hubspot_consumer.outcomes import Outcome

LATENCY_BUCKETS_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 43200)


class Telemetry:
    """Every metric of the consumer, by name."""

    def __init__(self) -> None:
        self.registry: Final = CollectorRegistry()
        self.read = Counter("hubspot_consumer_events_read", "Records read", ["topic"], registry=self.registry)
        self.delivered = Counter(
            "hubspot_consumer_events_delivered", "Events that HubSpot holds", ["type"], registry=self.registry
        )
        self.dead_letters = Counter(
            "hubspot_consumer_dead_letters", "Events set aside", ["reason"], registry=self.registry
        )
        self.calls = Counter("hubspot_consumer_calls", "Calls to HubSpot", ["kind", "status"], registry=self.registry)
        self.outcomes = Counter(
            "hubspot_consumer_upsert_outcomes", "Outcomes of upserts, by contact", ["outcome"], registry=self.registry
        )
        self.latency = Histogram(
            "hubspot_consumer_delivery_seconds",
            "From the record's timestamp in Kafka to HubSpot's answer",
            buckets=LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self.halted = self._gauge("halted", "1 while sending is halted, by reason", "reason")
        self.lag = self._gauge("lag_events", "Events that the group has not acked", "topic")
        self.contacts = self._gauge("contacts", "Contacts with pending events, by what they wait for", "state")
        self.in_flight = self._gauge("in_flight", "Events read and not finished, and calls without an answer", "what")

    def _gauge(self, name: str, text: str, label: str) -> Gauge:
        return Gauge(f"hubspot_consumer_{name}", text, [label], registry=self.registry)

    def show(self, report: Mapping[str, Any]) -> None:
        """Set the gauges to what the status reports."""
        self.halted.clear()
        if report["halted"] is not None:
            self.halted.labels(report["halted"]["reason"]).set(1)
        for gauge, values in (
            (self.lag, report["lag"]),
            (self.contacts, report["contacts"]),
            (self.in_flight, report["in_flight"]),
        ):
            for label, value in values.items():
                gauge.labels(label).set(value)

    def call(self, kind: str, status: str) -> None:
        """Count a call of *kind* that was answered by *status*, or failed by an error of that name."""
        self.calls.labels(kind, status).inc()

    def upserted(self, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            self.outcomes.labels(type(outcome).__name__).inc()
