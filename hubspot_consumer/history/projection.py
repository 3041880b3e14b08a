"""The refold: what a contact's events come to when they are applied again, by the mapping as it is now."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby
from operator import attrgetter
from typing import Final

from hubspot_consumer.dead_letters.corrections import mended
from hubspot_consumer.history.selection import Selection
from hubspot_consumer.history.store import Stored
from hubspot_consumer.kafka.records import Offsets, Place
from hubspot_consumer.mapping import MappingFailed, Properties, map_event
from hubspot_consumer.ordering.lane import ContactUpdate, Lane, Pending
from schemas.contacts import ContactKey
from schemas.envelope import Envelope, UnreadableRecord, read_envelope

_sequence = attrgetter("sequence")


@dataclass
class Projection:
    """`properties` are what the selected events set, each with its newest value, whichever event that is of.

    `sequence` is the newest event's, `events` are the selected ones, in order; `dead` are those of them that are dead
    letters. `unmapped` are selected ones that the mapping fails for, each with why; they are left out of all else.
    """

    key: ContactKey
    properties: Properties = field(default_factory=dict)
    sequence: int = 0
    events: list[tuple[Stored, Envelope]] = field(default_factory=list)
    dead: list[tuple[Stored, Envelope]] = field(default_factory=list)
    unreadable: int = 0
    unmapped: list[tuple[Envelope, str]] = field(default_factory=list)

    @property
    def wanted(self) -> bool:
        return bool(self.events)

    def update(self, contact_id: str) -> ContactUpdate:
        """Return the selected events as those of a contact that is written, whose timeline may hold them already."""
        pending = [Pending(envelope.sequence, envelope, event.record(), _nothing) for event, envelope in self.events]
        return ContactUpdate(Lane(self.key, contact_id=contact_id), pending, written=True, repeated=True)


class Projector:
    """Folds contacts by a *selection*; *unfinished* is where the workers' group had come to when the run began.

    What the group had not finished is folded in whatever was selected: the sequence that is written says that
    everything before it took effect, and the worker would pass it over.
    """

    def __init__(self, selection: Selection, unfinished: Offsets) -> None:
        self.selection: Final = selection
        self._unfinished: Final = unfinished

    def project(self, key: ContactKey, *histories: Sequence[Stored], without: Collection[Place] = ()) -> Projection:
        """Return the refold of a contact's events, which are in the order of their sequence headers.

        A contact that had other keys before has several *histories*, the last one its own. Dead letters count where
        they are selected and not in *without*.
        """
        projection, newest, names = Projection(key), Properties(), set[str]()
        envelopes = [each for history in histories for each in self._envelopes(projection, history, without)]
        for event, envelope, selected, dead in envelopes:
            try:
                properties = map_event(envelope).contact
            except MappingFailed as failed:
                projection.unmapped += [(envelope, str(failed))] if selected else []
                continue
            newest |= properties
            if selected:
                projection.events.append((event, envelope))
                if dead:
                    projection.dead.append((event, envelope))
            if selected or self._is_unfinished(event):
                names |= properties.keys()
            projection.sequence = envelope.sequence
        projection.properties = {name: value for name, value in newest.items() if name in names}
        return projection

    def _envelopes(
        self, projection: Projection, events: Sequence[Stored], without: Collection[Place]
    ) -> list[tuple[Stored, Envelope, bool, bool]]:
        found: dict[int, tuple[Stored, Envelope, bool, bool]] = {}
        selects = self.selection.selects
        # The relay may have sent one twice, and one of the two may be a dead letter.
        for _, copies in groupby(events, key=_sequence):
            event, *others = copies
            selected = selects(event) or (bool(others) and any(map(selects, others)))
            dead = bool(self.selection.set_aside) and self._is_dead(event, others)
            if dead and not (selected and self.selection.dead_letters and event.place not in without):
                continue
            try:
                value = mended(event.value, self.selection.mends.get(event.place))
                envelope = read_envelope(_encoded(event.key), value)
            except UnreadableRecord:
                projection.unreadable += selected
            else:
                found.setdefault(envelope.sequence, (event, envelope, selected, dead))
        # A hand-made header may say otherwise.
        return [found[number] for number in sorted(found)]

    def _is_dead(self, event: Stored, others: Sequence[Stored]) -> bool:
        return any(copy.place in self.selection.set_aside for copy in (event, *others))

    def _is_unfinished(self, event: Stored) -> bool:
        first = self._unfinished.get((event.topic, event.partition))
        return first is not None and event.offset >= first


@lru_cache(maxsize=1)
def _encoded(key: str) -> bytes:
    return key.encode()


def _nothing() -> None:
    """Nobody waits for an event that is finished again."""
