"""What the producer counts: Prometheus metrics in a registry of its own."""

import math
from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from runtime.health import Health
from schemas.events import EVENTS

PARTS: Final = ("database", "kafka", "topics")
REASONS: Final = ("unknown_event_type", "too_large")


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
        self._begin_at_zero()
        self.backlog_unknown()

    def backlog_unknown(self) -> None:
        """Say that nobody can tell: a number that was right once would pass for one that is right."""
        self.backlog.set(math.nan)
        self.oldest.set(math.nan)

    def shows(self, health: Health) -> None:
        """Let the gauge of each part tell, whenever it is read, what *health* says then."""
        for part in PARTS:
            self.unwell.labels(part).set_function(partial(health.is_ill, part))

    def _begin_at_zero(self) -> None:
        # A counter that appears with its first event has not increased, as Prometheus sees it: no alert would fire.
        for event_type in EVENTS:
            self.published.labels(event_type)
        for reason in REASONS:
            self.dead_letters.labels(reason)
