"""The selection: which events are to take effect again. Picklable, for the plan is made in several processes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from hubspot_consumer.reprocessing.store import Offsets, Place, Stored


@dataclass(frozen=True)
class Selection:
    """Times are those of Kafka's records, `until` included. Empty collections and None select everything.

    `before` is where the topics ended when the run began: what comes later is the workers' to do. `places` selects
    exactly these records: a redrive's. `set_aside` are records that are dead letters.
    """

    since: datetime | None = None
    until: datetime | None = None
    topics: frozenset[str] = frozenset()
    contacts: frozenset[str] = frozenset()
    places: frozenset[Place] | None = None
    before: Offsets = field(default_factory=dict, compare=False)
    set_aside: frozenset[Place] = field(default=frozenset(), compare=False)

    def selects(self, event: Stored) -> bool:
        """Return whether what this event sets is to be written, and its timeline entry to be left."""
        if self.places is not None:
            return event.place in self.places
        if event.offset >= self.before.get((event.topic, event.partition), event.offset + 1):
            return False
        if self.topics and event.topic not in self.topics:
            return False
        if self.since is not None and event.at_ms < self.since.timestamp() * 1000:
            return False
        return self.until is None or event.at_ms <= self.until.timestamp() * 1000

    def described(self) -> dict[str, Any]:
        """Return it as JSON, to compare a run with the one that was asked for before."""
        return {
            "since": self.since.isoformat() if self.since else None,
            "until": self.until.isoformat() if self.until else None,
            "topics": sorted(self.topics),
            "contacts": sorted(self.contacts),
        }

    @classmethod
    def of(cls, described: Mapping[str, Any]) -> Self:
        """Return the selection that was `described`."""
        since, until = (
            datetime.fromisoformat(moment) if moment else None for moment in (described["since"], described["until"])
        )
        return cls(since, until, frozenset(described["topics"]), frozenset(described["contacts"]))
