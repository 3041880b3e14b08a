"""What the producer counts: Prometheus metrics in a registry of its own."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge


class Telemetry:
    """Every metric of the producer, by name."""

    def __init__(self) -> None:
        self.registry: Final = CollectorRegistry()
        self.published = Counter(
            "producer_events_published", "Events that Kafka acknowledged", ["type"], registry=self.registry
        )
        self.dead_letters = Counter(
            "producer_dead_letters", "Rows that no topic takes", ["reason"], registry=self.registry
        )
        self.faults = Counter(
            "producer_publishing_faults", "Batches that Kafka did not acknowledge", ["error"], registry=self.registry
        )
        self.active = Gauge("producer_relay_active", "1 while this relay is the active one", registry=self.registry)
        self.backlog = Gauge(
            "producer_backlog_events", "Rows that wait in the outbox, counted up to a limit", registry=self.registry
        )
        self.oldest = Gauge(
            "producer_backlog_oldest_seconds", "Age of the first row in the outbox", registry=self.registry
        )
        self.intake = Counter(
            "producer_intake_requests",
            "Requests to the intake, by outcome: accepted, repeated, or the code of the problem",
            ["outcome"],
            registry=self.registry,
        )
