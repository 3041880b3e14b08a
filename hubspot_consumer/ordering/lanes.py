"""Lanes: the serial queue of each contact, in order of sequence, whatever topic an event came from.

A lane can be written when the event after the last applied one is there. A contact that is not in the cache is either
new, with its first event here, or is looked up in HubSpot, which keeps the sequence that was applied last in the
property `nerava_event_sequence`. The call that creates a new contact is refused where the contact exists, which is then
looked up: a restarted worker moves no contact backwards.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Collection
from itertools import islice
from typing import Final

from hubspot_consumer.kafka.records import Record
from hubspot_consumer.ordering.applied_cache import AppliedCache
from hubspot_consumer.ordering.in_flight import InFlight
from hubspot_consumer.ordering.lane import ContactUpdate, Lane, LaneState, Pending
from hubspot_consumer.ordering.waiting import Waiting
from runtime.clock import Clock
from runtime.logs import logger
from schemas.contacts import ContactKey

log = logger()

HOLE_AGAIN_S: Final = 1.0
# Events that were applied and not acked are read soon, unless the leader of a partition is away.
EARLIER_LIMIT_S: Final = 60.0
EARLIER_AGAIN_S: Final = 0.25
# The lanes in these states wait for a time; the others stand in queues.
TIMED: Final = frozenset({LaneState.BACKING_OFF, LaneState.EARLIER_UNREAD, LaneState.HOLE})
QUEUED: Final = frozenset({LaneState.UNKNOWN, LaneState.NEW, LaneState.READY, LaneState.HELD})


class Lanes:
    """All lanes of the partitions that this worker is assigned.

    *earlier_were_read* returns whether everything that Kafka held before a record was read.
    """

    def __init__(self, clock: Clock, earlier_were_read: Callable[[Record], bool] = lambda _: True) -> None:
        self._clock = clock
        self._earlier_were_read = earlier_were_read
        self._lanes: dict[ContactKey, Lane] = {}
        self._applied_cache = AppliedCache()
        self._queues: dict[LaneState, OrderedDict[ContactKey, Lane]] = {state: OrderedDict() for state in QUEUED}
        self._waiting = Waiting()
        self._in_state: Counter[LaneState] = Counter()
        self._holds: Counter[ContactKey] = Counter()
        self.in_flight: Final = InFlight()
        self.holes_released = 0

    def add(self, key: ContactKey, event: Pending) -> None:
        """Take an event into its contact's lane. A second copy of one that is pending is finished at once."""
        lane = self._lanes.get(key) or self._open(key)
        if event.sequence in lane.pending:
            event.finish()
            return
        lane.pending[event.sequence] = event
        waits_as_before = lane.state is LaneState.UNKNOWN and event.sequence > 1
        if not (waits_as_before or lane.state in (LaneState.IN_FLIGHT, LaneState.NEW, LaneState.READY)):
            self._place(lane)

    def take_unknown(self, most: int) -> list[Lane]:
        """Take contacts to look up; each comes back by `known` or `still_unknown`."""
        return self._depart(most, LaneState.UNKNOWN)

    def known(self, lane: Lane, contact_id: str | None, sequence: int | None) -> None:
        """Say what HubSpot holds of a contact; `sequence` None where it can't be asked: what is here comes first."""
        lane.learn(contact_id, min(lane.pending) - 1 if sequence is None else sequence)
        self._again(lane, wait_s=0.0)

    def still_unknown(self, lane: Lane, wait_s: float) -> None:
        """Give back a contact whose look-up failed, to be tried again after a wait."""
        self._again(lane, wait_s)

    def take_new(self, most: int) -> list[ContactUpdate]:
        """Take up to *most* contacts to create; each fold comes back once, also by `exists`."""
        return [lane.coalesce() for lane in self._depart(most, LaneState.NEW)]

    def exists(self, update: ContactUpdate) -> None:
        """Give back a contact that was not created, because there is one, or because it can't be told from that."""
        update.lane.may_be_new = False
        self._again(update.lane, wait_s=0.0)

    def take(self, most: int) -> list[ContactUpdate]:
        """Take up to *most* contacts that can run, each with its consecutive events; each fold comes back once."""
        return [lane.coalesce() for lane in self._depart(most, LaneState.READY)]

    def finished(self, update: ContactUpdate) -> None:
        """Say that every event of *fold* is delivered or dead-lettered."""
        lane = update.lane
        lane.finished(update)
        self._again(lane, wait_s=0.0)

    def split(self, update: ContactUpdate) -> None:
        """Give back a rejected fold, to come again in smaller parts until the guilty event stands alone."""
        update.lane.most_events = max(1, len(update.events) // 2)
        self._again(update.lane, wait_s=0.0)

    def retry(self, update: ContactUpdate, wait_s: float) -> None:
        """Give back a fold to be tried again after *wait_s* seconds; if it is `written`, without another upsert."""
        lane = update.lane
        if update.written:
            lane.applied_by(update)
        self._again(lane, wait_s)

    def hold(self, keys: Collection[ContactKey]) -> None:
        """Take nothing of these contacts, until each was released as often as it was held."""
        self._holds.update(keys)
        for lane in filter(None, map(self._lanes.get, keys)):
            if lane.state is not LaneState.IN_FLIGHT:
                self._place(lane)

    def release(self, key: ContactKey) -> None:
        self._holds[key] -= 1
        if self._holds[key] <= 0:
            del self._holds[key]
            if (lane := self._queues[LaneState.HELD].get(key)) is not None:
                self._place(lane)

    def written(self, key: ContactKey, sequence: int, contact_id: str | None) -> None:
        """Say that somebody else wrote a contact, as it is after the event *sequence*."""
        lane = self._lanes.get(key)
        if lane is None:
            self._applied_cache.learn(key, sequence, contact_id)
        elif lane.applied is None or sequence > lane.applied:
            lane.learn(contact_id or lane.contact_id, sequence)

    def maybe_written(self, key: ContactKey) -> None:
        """Say that somebody else may have written a contact: it is looked up before anything of it is written."""
        self._applied_cache.forget(key)
        if (lane := self._lanes.get(key)) is not None:
            lane.unlearn()

    def is_held(self, key: ContactKey) -> bool:
        return key in self._holds

    def forget(self) -> None:
        """Drop everything but holds: the partitions go to another worker, which reads again what was not acked."""
        self._lanes.clear()
        self._applied_cache.clear()
        self._waiting.clear()
        self._in_state.clear()
        for queue in self._queues.values():
            queue.clear()

    def owns(self, update: ContactUpdate) -> bool:
        """Return whether a fold that was taken is still ours to deliver: not once `forget` gave its contact away."""
        return self._lanes.get(update.lane.key) is update.lane

    def has(self, key: ContactKey) -> bool:
        """Return whether anything is pending of a contact."""
        return key in self._lanes

    def stop_backing_off(self) -> None:
        """Try again now: what they waited for, HubSpot answering, has come."""
        for lane in (*self._waiting, *self._queues[LaneState.HELD].values()):
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
        """Contacts that can be written."""
        return self._in_state[LaneState.READY]

    @property
    def new(self) -> int:
        """Contacts to create."""
        return self._in_state[LaneState.NEW]

    @property
    def unknown(self) -> int:
        """Contacts that wait for a look-up."""
        return self._in_state[LaneState.UNKNOWN]

    @property
    def can_run(self) -> int:
        """Contacts that can be written or created as soon as there is a slot."""
        return self.ready + self.new

    @property
    def backing_off(self) -> int:
        """Contacts that wait for their next attempt."""
        return self._in_state[LaneState.BACKING_OFF]

    @property
    def holes(self) -> int:
        """Contacts that wait for an earlier event of theirs, or until it is sure that there is none."""
        return self._in_state[LaneState.HOLE] + self._in_state[LaneState.EARLIER_UNREAD]

    @property
    def held(self) -> int:
        """Contacts with pending events that a run holds."""
        return self._in_state[LaneState.HELD]

    def _open(self, key: ContactKey) -> Lane:
        lane = Lane(key)
        self._applied_cache.begin(lane)
        self._lanes[key] = lane
        return lane

    def _place(self, lane: Lane) -> None:
        lane.pass_over_dead_letters()
        self._enter(lane, self._next_state(lane))
        if lane.state is LaneState.EMPTY:
            del self._lanes[lane.key]
            self._applied_cache.keep(lane)

    def _next_state(self, lane: Lane) -> LaneState:
        """Return the state of a lane that no call is about, and note since when it waits."""
        now = self._clock.monotonic()
        if not lane.pending:
            return LaneState.EMPTY
        if lane.key in self._holds:
            return LaneState.HELD
        if lane.not_before > now:
            # A lane that waits for earlier events is looked at again when its time has come.
            return lane.state if lane.state is LaneState.EARLIER_UNREAD else LaneState.BACKING_OFF
        if lane.applied is None:
            return LaneState.NEW if lane.may_be_new and lane.begins else LaneState.UNKNOWN
        return self._state_of_known(lane, lane.applied, now)

    def _state_of_known(self, lane: Lane, applied: int, now: float) -> LaneState:
        if self._may_be_preceded(lane):
            # The same moments for all: a look at those that are due goes through all that wait.
            lane.not_before = (now // EARLIER_AGAIN_S + 1) * EARLIER_AGAIN_S
            return LaneState.EARLIER_UNREAD
        if min(lane.pending) <= applied + 1:
            lane.hole_since = None
            return LaneState.READY
        lane.hole_since = now if lane.hole_since is None else lane.hole_since
        return LaneState.HOLE

    def _enter(self, lane: Lane, state: LaneState) -> None:
        """Set a lane's state. Nothing else does."""
        if lane.state in TIMED:
            self._waiting.remove(lane)
        elif lane.state in QUEUED:
            self._queues[lane.state].pop(lane.key, None)
        self._in_state[lane.state] -= 1
        lane.state = state
        self._in_state[state] += 1
        if state in TIMED:
            self._waiting.add(lane)
        elif state in QUEUED:
            self._queues[state][lane.key] = lane

    def _may_be_preceded(self, lane: Lane) -> bool:
        """Return whether an event that was applied already may be unread, whose timeline entry may not be there."""
        if not lane.done_before_next:
            now = self._clock.monotonic()
            if lane.unread_since is None:
                lane.unread_since = now
            first = lane.pending[min(lane.pending)]
            if now - lane.unread_since < EARLIER_LIMIT_S and not self._earlier_were_read(first.record):
                return True
        lane.pass_over_unread()
        return False

    def _depart(self, most: int, state: LaneState) -> list[Lane]:
        """Take up to *most* lanes of a queue, those that came first, for a call."""
        lanes = [*islice(self._queues[state].values(), most)]
        for lane in lanes:
            self._enter(lane, LaneState.IN_FLIGHT)
            self.in_flight.begin(lane.key)
        return lanes

    def _again(self, lane: Lane, wait_s: float) -> None:
        """Take a lane back from a call."""
        lane.not_before = self._clock.monotonic() + wait_s if wait_s else 0.0
        # A lane that was forgotten meanwhile has no place any more.
        if self._lanes.get(lane.key) is lane:
            self._place(lane)
        self.in_flight.end(lane.key)

    def _release_hole(self, lane: Lane) -> None:
        if lane.state is not LaneState.HOLE or lane.hole_since is None or lane.applied is None:
            return
        first = min(lane.pending)
        if not self._earlier_were_read(lane.pending[first].record):
            # What is missing may be there, unread: a backlog, or sending is halted.
            lane.hole_since = self._clock.monotonic() - lane.hole_limit_s + HOLE_AGAIN_S
            return
        self.holes_released += 1
        told = {"missing_from": lane.applied + 1, "missing_to": first - 1}
        log.warning("lane.hole_released", **lane.pending[first].log_fields, **told)
        lane.applied = lane.done = first - 1
        lane.hole_since = None
