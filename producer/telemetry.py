"""The producer's metrics, in a Prometheus registry of its own."""

import math
from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from runtime.health import Health
from schemas.events import EVENTS

PARTS: Final = ("database", "database_connections", "intake", "kafka", "topics", "publishing", "relay_lock")
REASONS: Final = ("unknown_event_type", "too_large")


class Telemetry:
    """All metrics of the producer, by name."""

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
        self.unwell = Gauge("producer_unwell", "1 while a part is unwell", ["part"], registry=self.registry)
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
        # Prometheus sees no increase in a counter that appears with its first event, so no alert would fire.
        for event_type in EVENTS:
            self.published.labels(event_type)
        for reason in REASONS:
            self.dead_letters.labels(reason)
        self.backlog_unknown()

    def backlog_unknown(self) -> None:
        """Set the backlog's gauges to NaN: an old number would look like a current one."""
        self.backlog.set(math.nan)
        self.oldest.set(math.nan)

    def shows(self, health: Health) -> None:
        """Make the gauge of each part show, whenever it is read, the current state in *health*."""
        for part in PARTS:
            self.unwell.labels(part).set_function(partial(health.is_ill, part))
