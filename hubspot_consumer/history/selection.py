"""The selection: which events are to take effect again. Picklable, for the plan is made in several processes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from hubspot_consumer.dead_letters.corrections import Correction
from hubspot_consumer.history.store import Stored
from hubspot_consumer.kafka.records import Offsets, Place
from schemas.contacts import ContactKey


@dataclass(frozen=True)
class Selection:
    """Times are those of Kafka's records, `until` included. Empty collections and None select everything.

    `before` is where the topics ended when the run began: what comes later is the workers' to do. `places` selects
    exactly these records: a redrive's. `set_aside` are records that are dead letters, which take effect where they are
    selected, unless `dead_letters` is off; `mends` says which records are read otherwise than they were written.
    """

    since: datetime | None = None
    until: datetime | None = None
    topics: frozenset[str] = frozenset()
    contacts: frozenset[ContactKey] = frozenset()
    places: frozenset[Place] | None = None
    dead_letters: bool = True
    before: Offsets = field(default_factory=dict, compare=False)
    set_aside: frozenset[Place] = field(default=frozenset(), compare=False)
    mends: Mapping[Place, Correction] = field(default_factory=dict, compare=False)

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
