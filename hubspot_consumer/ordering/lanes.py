"""Lanes: the serial queue of each contact, in order of sequence, whatever topic an event came from.

A lane runs when the next event after the last applied one is there. It waits for a hole, for the call that is bringing
its earlier events to HubSpot, and for a backoff. When nobody remembers its contact it is either new, with its first
event here, or to be looked up in HubSpot: what was applied last is kept there, in `nerava_event_sequence`. A new
contact is created by a call that refuses one that exists, which is then looked up: so a restarted worker moves none
backwards. A lane whose contact is held waits until it is released, whatever else it waits for.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Collection
from typing import Final

from hubspot_consumer.kafka.records import Record
from hubspot_consumer.ordering.applied_cache import Memory
from hubspot_consumer.ordering.in_flight import InFlight
from hubspot_consumer.ordering.lane import Fold, Lane, Pending
from hubspot_consumer.ordering.waiting import Waiting
from runtime.clock import Clock
from runtime.logs import logger
from schemas.contacts import ContactKey

log = logger()

SIBLINGS_LOOK_EVERY_S: Final = 1.0
# What was applied and not acked is read soon, unless the leader of a partition is away.
SIBLINGS_WAIT_S: Final = 60.0
SIBLINGS_AGAIN_S: Final = 0.25


class Lanes:
    """All lanes of the partitions this worker holds. *siblings_passed*: whether siblings were read past a record."""

    def __init__(self, clock: Clock, siblings_passed: Callable[[Record], bool] = lambda _: True) -> None:
        self._clock = clock
        self._siblings_passed = siblings_passed
        self._lanes: dict[ContactKey, Lane] = {}
        self._memory = Memory()
        self._unknown: OrderedDict[ContactKey, Lane] = OrderedDict()
        self._new: OrderedDict[ContactKey, Lane] = OrderedDict()
        self._ready: OrderedDict[ContactKey, Lane] = OrderedDict()
        self._waiting = Waiting()
        self._holds: Counter[ContactKey] = Counter()
        self._held: dict[ContactKey, Lane] = {}
        self.in_flight: Final = InFlight()
        self.holes_released = 0

    def add(self, key: ContactKey, event: Pending) -> None:
        """Take an event into its contact's lane. A second copy of one that is pending is finished at once."""
        lane = self._lanes.get(key) or self._open(key)
        if event.sequence in lane.pending:
            event.finish()
            return
        lane.pending[event.sequence] = event
        if not (key in self._ready or key in self._new or (key in self._unknown and event.sequence > 1)):
            self._unknown.pop(key, None)
            self._place(lane)

    def take_unknown(self, most: int) -> list[Lane]:
        """Take contacts to look up; each comes back by `known` or `still_unknown`."""
        lanes = _first(most, self._unknown)
        for lane in lanes:
            self._depart(lane)
        return lanes

    def known(self, lane: Lane, contact_id: str | None, sequence: int | None) -> None:
        """Say what HubSpot holds of a contact; `sequence` None where it can't be asked: what is here comes first."""
        lane.learn(contact_id, min(lane.pending) - 1 if sequence is None else sequence)
        self._again(lane, wait_s=0.0)

    def still_unknown(self, lane: Lane, wait_s: float) -> None:
        """Give back a contact whose look-up failed, to be tried again after a wait."""
        self._again(lane, wait_s)

    def take_new(self, most: int) -> list[Fold]:
        """Take up to *most* contacts to create; each fold comes back once, also by `exists`."""
        return [self._fold(lane) for lane in _first(most, self._new)]

    def exists(self, fold: Fold) -> None:
        """Give back a contact that was not created, because there is one, or because it can't be told from that."""
        fold.lane.may_be_new = False
        self._again(fold.lane, wait_s=0.0)

    def take(self, most: int) -> list[Fold]:
        """Take up to *most* contacts that can run, each with its consecutive events; each fold comes back once."""
        return [self._fold(lane) for lane in _first(most, self._ready)]

    def finished(self, fold: Fold) -> None:
        """Say that every event of *fold* is delivered or dead-lettered."""
        lane = fold.lane
        lane.finished(fold)
        self._again(lane, wait_s=0.0)

    def split(self, fold: Fold) -> None:
        """Give back a rejected fold, to come again in smaller parts until the guilty event stands alone."""
        fold.lane.most_events = max(1, len(fold.events) // 2)
        self._again(fold.lane, wait_s=0.0)

    def retry(self, fold: Fold, wait_s: float) -> None:
        """Give back a fold to be tried again after *wait_s* seconds; if it is `written`, without another upsert."""
        lane = fold.lane
        if fold.written:
            lane.applied_by(fold)
        self._again(lane, wait_s)

    def hold(self, keys: Collection[ContactKey]) -> None:
        """Take nothing of these contacts, until each was released as often as it was held."""
        self._holds.update(keys)
        for lane in filter(None, map(self._lanes.get, keys)):
            for queue in (self._unknown, self._new, self._ready):
                queue.pop(lane.key, None)
            self._place(lane)

    def release(self, key: ContactKey) -> None:
        self._holds[key] -= 1
        if self._holds[key] <= 0:
            del self._holds[key]
            if (lane := self._held.get(key)) is not None:
                self._place(lane)

    def written(self, key: ContactKey, sequence: int, contact_id: str | None) -> None:
        """Say that somebody else wrote a contact, as it is after the event *sequence*."""
        lane = self._lanes.get(key)
        if lane is None:
            self._memory.learn(key, sequence, contact_id)
        elif lane.applied is None or sequence > lane.applied:
            lane.learn(contact_id or lane.contact_id, sequence)

    def maybe_written(self, key: ContactKey) -> None:
        """Say that somebody else may have written a contact: it is looked up before anything of it is written."""
        self._memory.forget(key)
        if (lane := self._lanes.get(key)) is not None:
            lane.unlearn()

    def is_held(self, key: ContactKey) -> bool:
        return key in self._holds

    def forget(self) -> None:
        """Drop everything but holds: the partitions go to another worker, which reads again what was not acked."""
        self._lanes.clear()
        self._memory.clear()
        self._held.clear()
        self._unknown.clear()
        self._new.clear()
        self._ready.clear()
        self._waiting.clear()

    def holds(self, fold: Fold) -> bool:
        """Return whether a fold that was taken is still ours to deliver: not once `forget` gave its contact away."""
        return self._lanes.get(fold.lane.key) is fold.lane

    def has(self, key: ContactKey) -> bool:
        """Return whether anything is pending of a contact."""
        return key in self._lanes

    def stop_backing_off(self) -> None:
        """Try again now: what they waited for, HubSpot answering, has come."""
        for lane in (*self._waiting, *self._held.values()):
            if lane.not_before:
                lane.not_before = 0.0
                self._place(lane)

    def wake(self) -> float | None:
        """Move lanes whose wait is over; return the seconds until the next one, None when none waits for time."""
        now = self._clock.monotonic()
        for lane in self._waiting.due(now):
            self._release_hole(lane)
            self._place(lane)
        return self._waiting.next_s(now)

    @property
    def ready(self) -> int:
        """Contacts that can run."""
        return len(self._ready)

    @property
    def new(self) -> int:
        """Contacts to create."""
        return len(self._new)

    @property
    def unknown(self) -> int:
        """Contacts that wait for a look-up."""
        return len(self._unknown)

    @property
    def can_run(self) -> int:
        """Contacts that can be written as soon as there is a slot."""
        return len(self._ready) + len(self._new)

    @property
    def backing_off(self) -> int:
        """Contacts that wait for their next attempt."""
        return len(self._waiting) - self.holes

    @property
    def holes(self) -> int:
        """Contacts that wait for an earlier event of theirs, or until it is sure that there is none."""
        return self._waiting.holes

    @property
    def held(self) -> int:
        """Contacts with pending events that wait until they are released."""
        return len(self._held)

    def _open(self, key: ContactKey) -> Lane:
        lane = Lane(key)
        self._memory.begin(lane)
        self._lanes[key] = lane
        return lane

    def _place(self, lane: Lane) -> None:
        if lane.in_flight:
            return
        self._waiting.remove(lane)
        self._held.pop(lane.key, None)
        lane.pass_over_dead_letters()
        if not lane.pending:
            self._close(lane)
        elif lane.key in self._holds:
            self._held[lane.key] = lane
        elif lane.not_before > self._clock.monotonic():
            self._waiting.add(lane)
        elif lane.applied is None:
            (self._new if lane.may_be_new and lane.begins else self._unknown)[lane.key] = lane
        elif self._may_be_preceded(lane):
            # All at the same moments: whoever looks for who is due looks at all that wait.
            lane.not_before = (self._clock.monotonic() // SIBLINGS_AGAIN_S + 1) * SIBLINGS_AGAIN_S
            self._waiting.add(lane)
        elif min(lane.pending) <= lane.applied + 1:
            lane.hole_since = None
            self._ready[lane.key] = lane
        else:
            lane.hole_since = self._clock.monotonic() if lane.hole_since is None else lane.hole_since
            self._waiting.add(lane)

    def _may_be_preceded(self, lane: Lane) -> bool:
        """Return whether an event that was applied already may be unread, whose timeline entry may not be there."""
        if not lane.done_before_next:
            now = self._clock.monotonic()
            if lane.siblings_since is None:
                lane.siblings_since = now
            first = lane.pending[min(lane.pending)]
            if now - lane.siblings_since < SIBLINGS_WAIT_S and not self._siblings_passed(first.record):
                return True
        lane.pass_over_unread()
        return False

    def _fold(self, lane: Lane) -> Fold:
        self._depart(lane)
        return lane.fold()

    def _again(self, lane: Lane, wait_s: float) -> None:
        lane.in_flight = False
        lane.not_before = self._clock.monotonic() + wait_s if wait_s else 0.0
        # A lane that was forgotten meanwhile has no place any more.
        if self._lanes.get(lane.key) is lane:
            self._place(lane)
        self.in_flight.end(lane.key)

    def _depart(self, lane: Lane) -> None:
        lane.in_flight = True
        self.in_flight.begin(lane.key)

    def _release_hole(self, lane: Lane) -> None:
        if lane.hole_since is None or lane.applied is None:
            return
        first = min(lane.pending)
        if not self._siblings_passed(lane.pending[first].record):
            # What is missing may be there, unread: a backlog, or sending is halted.
            lane.hole_since = self._clock.monotonic() - lane.hole_limit_s + SIBLINGS_LOOK_EVERY_S
            return
        self.holes_released += 1
        told = {"missing_from": lane.applied + 1, "missing_to": first - 1}
        log.warning("lane.hole_released", **lane.pending[first].told, **told)
        lane.applied = lane.done = first - 1
        lane.hole_since = None

    def _close(self, lane: Lane) -> None:
        self._lanes.pop(lane.key, None)
        self._memory.keep(lane)


def _first(most: int, lanes: OrderedDict[ContactKey, Lane]) -> list[Lane]:
    return [lanes.popitem(last=False)[1] for _ in range(min(most, len(lanes)))]
