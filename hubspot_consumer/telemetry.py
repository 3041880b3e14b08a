"""What the consumer counts: Prometheus metrics in a registry of its own, read by /metrics and /v1/status."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from hubspot_consumer.outcomes import Outcome

PREFIX: Final = "hubspot_consumer"
LATENCY_BUCKETS_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 43200)


class Telemetry:
    """Every metric of the consumer, by name."""

    def __init__(self) -> None:
        self.registry: Final = CollectorRegistry()
        self.read = Counter("hubspot_consumer_events_read", "Records read", ["topic"], registry=self.registry)
        self.delivered = Counter(
            "hubspot_consumer_events_delivered", "Events that HubSpot holds", ["type"], registry=self.registry
        )
        self.suppressed = Counter(
            "hubspot_consumer_events_suppressed", "Events of suppressed contacts, not sent", registry=self.registry
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

    def shows(self, report: Callable[[], Mapping[str, Any]]) -> None:
        """Let the gauges tell, whenever they are read, what *report* returns then."""
        self.registry.register(_Gauges(report))

    def call(self, kind: str, status: str) -> None:
        """Count a call of *kind* that was answered by *status*, or failed by an error of that name."""
        self.calls.labels(kind, status).inc()

    def upserted(self, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            self.outcomes.labels(type(outcome).__name__).inc()


class _Gauges(Collector):
    """What the status reports at this moment, as gauges."""

    def __init__(self, report: Callable[[], Mapping[str, Any]]) -> None:
        self._report: Final = report

    def collect(self) -> Iterator[GaugeMetricFamily]:
        report = self._report()
        halted = {report["halted"]["reason"]: 1} if report["halted"] else {}
        yield _gauge("halted", "1 while sending is halted, by reason", "reason", halted)
        yield _gauge("lag_events", "Events that the group has not acked", "topic", report["lag"])
        yield _gauge("contacts", "Contacts with pending events, by what they wait for", "state", report["contacts"])
        held = (report["reprocessing"] or {}).get("contacts_held", 0)
        yield GaugeMetricFamily(f"{PREFIX}_contacts_held", "Contacts that a reprocessing run holds", value=held)
        yield _gauge(
            "in_flight", "Events read and not finished, and calls without an answer", "what", report["in_flight"]
        )


def _gauge(name: str, text: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=[label])
    for value in values:
        family.add_metric([value], values[value])
    return family
