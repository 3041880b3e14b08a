"""Topic names: one topic per event type, one for dead letters, and those of the consumer and the console."""

from dataclasses import dataclass
from typing import Final

from schemas.events import EVENT_TYPES

# Minimum time for which a replay can go back.
EVENT_RETENTION_MS: Final = 30 * 24 * 3_600_000


@dataclass(frozen=True)
class Topics:
    """The topic names under one prefix, `lifecycle.` unless configured."""

    prefix: str = "lifecycle."

    def of(self, event_type: str) -> str:
        return f"{self.prefix}{event_type}"

    @property
    def events(self) -> tuple[str, ...]:
        """One topic per event type; all have equal partition counts, so a contact has one partition number."""
        return tuple(self.of(event_type) for event_type in EVENT_TYPES)

    @property
    def dead_letters(self) -> str:
        return self.of("dead_letters")

    @property
    def suppressions(self) -> str:
        """The topic of contacts that must never be written again; compacted."""
        return self.of("suppressions")

    @property
    def resolutions(self) -> str:
        """The topic of dead letters' resolutions; compacted."""
        return self.of("resolutions")

    @property
    def controls(self) -> str:
        """The topic of commands to all workers, such as a pause; compacted."""
        return self.of("controls")

    @property
    def compacted(self) -> tuple[str, ...]:
        """The topics that keep the newest record of each key for ever. Each has one partition."""
        return (self.suppressions, self.resolutions, self.controls)

    @property
    def deliveries(self) -> str:
        """The topic of receipts, one for each outcome; kept as long as events, in one partition."""
        return self.of("deliveries")

    @property
    def holds(self) -> str:
        """The topic of messages between reprocessing runs and workers; kept for an hour."""
        return self.of("holds")

    @property
    def actions(self) -> str:
        """The audit log of the console's actions; kept for ever."""
        return self.of("actions")

    @property
    def published(self) -> tuple[str, ...]:
        """The topics that the producer writes. All programs need them; others may be created when first needed."""
        return (*self.events, self.dead_letters)

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.published, *self.compacted, self.deliveries, self.holds, self.actions)
