"""The selection: which events are to take effect again. It is picklable, because several processes compute the plan."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from hubspot_consumer.dead_letters.corrections import Correction
from hubspot_consumer.history.store import Stored
from hubspot_consumer.kafka.records import Offsets, Place
from schemas.contacts import ContactKey


@dataclass(frozen=True)
class Selection:
    """The criteria of a run. Empty collections and None select everything.

    Times are those of Kafka's records; `until` is inclusive. `before` are the end offsets of the topics at the run's
    start: workers deliver what comes later. `places` selects exactly these records, for a redrive. `set_aside` are the
    records of dead letters, which take effect where they are selected, unless `dead_letters` is False. `mends` are
    corrections by record.
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
        """Return whether the properties and the timeline entry of this event are to be written."""
        if self.places is not None:
            return event.place in self.places
        if event.offset >= self.before.get((event.topic, event.partition), event.offset + 1):
            return False
        if self.topics and event.topic not in self.topics:
            return False
        if self.since is not None and event.at_ms < self.since.timestamp() * 1000:
            return False
        return self.until is None or event.at_ms <= self.until.timestamp() * 1000
