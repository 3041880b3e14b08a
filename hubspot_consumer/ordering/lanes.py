"""Lanes: a serial queue for each contact, in order of sequence across all topics.

A lane is ready when its next event, by sequence, has been read. A contact that is not in the cache is either new, with
its first event pending, or is looked up in HubSpot, which stores the last applied sequence in the property
`nerava_event_sequence`. HubSpot rejects the creation of a contact that exists, and the contact is then looked up: so a
restarted worker overwrites no contact with older values.
"""

import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Mapping
from itertools import islice
from typing import Final

from hubspot_consumer.kafka.records import Record
from hubspot_consumer.ordering.applied_cache import AppliedCache
from hubspot_consumer.ordering.in_flight import InFlight
from hubspot_consumer.ordering.lane import ContactUpdate, Lane, LaneState
from hubspot_consumer.ordering.pending import Pending
from runtime.clock import Clock
from runtime.logs import log
from schemas.contacts import ContactKey

HOLE_AGAIN_S: Final = 1.0
EARLIER_AGAIN_S: Final = 0.25
# Lanes in these states wait for a time.
TIMED: Final = (LaneState.BACKING_OFF, LaneState.EARLIER_UNREAD, LaneState.HOLE)


class Lanes:
    """All lanes of the assigned partitions.

    *earlier_were_read* returns whether every record that Kafka stored before the given one was read, in all
    co-partitioned topics.
    """

    def __init__(self, clock: Clock, earlier_were_read: Callable[[Record], bool] = lambda _: True) -> None:
        self._clock = clock
        self._earlier_were_read = earlier_were_read
        self._lanes: dict[ContactKey, Lane] = {}
        self._applied_cache = AppliedCache()
        self._queues: dict[LaneState, OrderedDict[ContactKey, Lane]] = {state: OrderedDict() for state in LaneState}
        # No lane in a TIMED state is due earlier, so until then no pass over all of them is needed.
        self._wake_at = math.inf
        self._holds: Counter[ContactKey] = Counter()
        self.in_flight: Final = InFlight()
        self.holes_released = 0

    def add(self, key: ContactKey, event: Pending) -> None:
        """Add an event to its contact's lane."""
        if (lane := self._lanes.get(key)) is None:
            lane = self._lanes[key] = Lane(key)
            self._applied_cache.begin(lane)
        lane.add(event)
        waits_as_before = lane.state is LaneState.UNKNOWN and event.sequence > 1
        if not (waits_as_before or lane.state in (LaneState.IN_FLIGHT, LaneState.NEW, LaneState.READY)):
            self._place(lane)

    def take_unknown(self, most: int) -> list[Lane]:
        """Take up to *most* contacts to look up; each must be given back by `known` or `give_back`."""
        return self._depart(most, LaneState.UNKNOWN)

    def known(
        self, lane: Lane, contact_id: str | None, sequence: int | None, ids: Mapping[int, int] | None = None
    ) -> None:
        """Give back a contact that was looked up, with the *ids* of its last applied events by sequence.

        Without a *sequence*, the first pending event counts as the next.
        """
        lane.learn(contact_id, min(lane.pending, default=1) - 1 if sequence is None else sequence, ids)
        self.give_back(lane)

    def give_back(self, lane: Lane, wait_s: float = 0.0) -> None:
        """Take a lane back from a call, for its next step after *wait_s* seconds; ignore it if `forget` dropped it."""
        lane.not_before = self._clock.monotonic() + wait_s if wait_s else 0.0
        if self._lanes.get(lane.key) is lane:
            self._place(lane)
        self.in_flight.end(lane.key)

    def take_new(self, most: int) -> list[ContactUpdate]:
        """Take up to *most* contacts to create; each update must be given back once, as after `take` or by `exists`."""
        return [lane.coalesce() for lane in self._depart(most, LaneState.NEW)]

    def exists(self, update: ContactUpdate) -> None:
        """Give back a contact that was not created because it exists, or may exist: it is looked up."""
        update.lane.may_be_new = False
        self.give_back(update.lane)

    def take(self, most: int) -> list[ContactUpdate]:
        """Take the updates of up to *most* ready contacts; each is given back by `finished`, `split` or `retry`."""
        return [lane.coalesce() for lane in self._depart(most, LaneState.READY)]

    def finished(self, update: ContactUpdate) -> None:
        """Give back an update whose events are all delivered, dead-lettered or suppressed."""
        update.lane.finished(update)
        self.give_back(update.lane)

    def split(self, update: ContactUpdate) -> None:
        """Give back a rejected update, to be taken again in smaller parts until the rejected event is alone."""
        update.lane.most_events = max(1, len(update.events) // 2)
        self.give_back(update.lane)

    def retry(self, update: ContactUpdate, wait_s: float) -> None:
        """Give back an update for another attempt after *wait_s* seconds; without another upsert if it is `written`."""
        if update.reused:
            update.lane.reused += update.events
        elif update.written:
            update.lane.applied_by(update)
            update.lane.set_aside = update.set_aside
        self.give_back(update.lane, wait_s)

    def hold(self, keys: Collection[ContactKey]) -> None:
        """Stop taking events of these contacts until each is released as often as it was held."""
        self._holds.update(keys)
        for lane in filter(None, map(self._lanes.get, keys)):
            if lane.state is not LaneState.IN_FLIGHT:
                self._place(lane)

    def release(self, key: ContactKey) -> None:
        """End one hold of a contact."""
        self._holds[key] -= 1
        if self._holds[key] <= 0:
            del self._holds[key]
            if (lane := self._queues[LaneState.HELD].get(key)) is not None:
                self._place(lane)

    def trust_ids(self, key: ContactKey) -> None:
        """Count only the events as applied whose ids are known, because nobody could write the contact completely."""
        if (lane := self._lanes.get(key)) is not None and lane.unsure:
            lane.applied, lane.unsure = lane.unsure[0] - 1, range(0)

    def written(self, key: ContactKey, sequence: int, contact_id: str | None) -> None:
        """Record that another writer applied a contact's events up to *sequence*."""
        lane = self._lanes.get(key)
        if lane is None:
            self._applied_cache.learn(key, sequence, contact_id)
        elif lane.unsure:
            self.maybe_written(key)
        elif lane.applied is None or sequence > lane.applied:
            lane.learn(contact_id or lane.contact_id, sequence)

    def maybe_written(self, key: ContactKey) -> None:
        """Record that another writer may have changed a contact: a look-up precedes the next write."""
        self._applied_cache.forget(key)
        if (lane := self._lanes.get(key)) is not None:
            lane.unlearn()

    def is_held(self, key: ContactKey) -> bool:
        return key in self._holds

    def forget(self) -> None:
        """Drop everything but holds: the next worker of the partitions reads the events again that were not acked."""
        self._lanes.clear()
        self._applied_cache.clear()
        for queue in self._queues.values():
            queue.clear()

    def owns(self, update: ContactUpdate) -> bool:
        """Return whether this worker may still deliver an update that was taken; false after `forget`."""
        return self._lanes.get(update.lane.key) is update.lane

    def has(self, key: ContactKey) -> bool:
        """Return whether a contact has pending events."""
        return key in self._lanes

    def stop_backing_off(self) -> None:
        """End the backoff of all lanes, because HubSpot answers again."""
        for lane in self._in(*TIMED, LaneState.HELD):
            if lane.not_before:
                lane.not_before = 0.0
                self._place(lane)

    def wake(self) -> float | None:
        """Move the lanes whose wait is over; return the seconds until the next one is due, None when no lane waits."""
        now = self._clock.monotonic()
        if now >= self._wake_at:
            waiting = self._in(*TIMED)
            self._wake_at = min((lane.due_at for lane in waiting if lane.due_at > now), default=math.inf)
            for lane in [lane for lane in waiting if lane.due_at <= now]:
                self._release_hole(lane)
                self._place(lane)
        return max(0.0, self._wake_at - now) if any(self._queues[state] for state in TIMED) else None

    @property
    def ready(self) -> int:
        """How many contacts can be written."""
        return len(self._queues[LaneState.READY])

    @property
    def new(self) -> int:
        """How many contacts wait to be created."""
        return len(self._queues[LaneState.NEW])

    @property
    def unknown(self) -> int:
        """How many contacts wait for a look-up."""
        return len(self._queues[LaneState.UNKNOWN])

    @property
    def can_run(self) -> int:
        """How many contacts can be written or created as soon as there is a slot."""
        return self.ready + self.new

    @property
    def backing_off(self) -> int:
        """How many contacts wait for their next attempt."""
        return len(self._queues[LaneState.BACKING_OFF])

    @property
    def holes(self) -> int:
        """How many contacts wait for a missing event, or until no earlier event can be unread."""
        return len(self._queues[LaneState.HOLE]) + len(self._queues[LaneState.EARLIER_UNREAD])

    @property
    def held(self) -> int:
        """How many contacts with pending events a reprocessing run holds."""
        return len(self._queues[LaneState.HELD])

    def _place(self, lane: Lane) -> None:
        lane.pass_over_dead_letters()
        self._enter(lane, self._next_state(lane))
        if lane.state is LaneState.EMPTY:
            del self._lanes[lane.key]
            self._applied_cache.keep(lane)

    def _next_state(self, lane: Lane) -> LaneState:
        """Return the state of a lane that is in no call, and set the times of its wait."""
        now = self._clock.monotonic()
        if not lane.pending and not lane.reused:
            return LaneState.EMPTY
        if lane.key in self._holds:
            return LaneState.HELD
        if lane.not_before > now:
            # A lane in EARLIER_UNREAD has its next check at `not_before`.
            return lane.state if lane.state is LaneState.EARLIER_UNREAD else LaneState.BACKING_OFF
        if lane.applied is None:
            return LaneState.NEW if lane.may_be_new and lane.begins else LaneState.UNKNOWN
        if lane.reused:
            return LaneState.READY
        return self._state_of_known(lane, lane.applied, now)

    def _state_of_known(self, lane: Lane, applied: int, now: float) -> LaneState:
        if self._may_be_preceded(lane):
            # All lanes share the same check times, because each pass over the due lanes visits every waiting lane.
            lane.not_before = (now // EARLIER_AGAIN_S + 1) * EARLIER_AGAIN_S
            return LaneState.EARLIER_UNREAD
        if min(lane.pending) <= applied + 1:
            lane.hole_since = None
            return LaneState.READY
        lane.hole_since = now if lane.hole_since is None else lane.hole_since
        return LaneState.HOLE

    def _enter(self, lane: Lane, state: LaneState) -> None:
        """Set a lane's state, and put it into the queue of that state. No other method changes a state."""
        self._queues[lane.state].pop(lane.key, None)
        lane.state = state
        if state is not LaneState.EMPTY:
            self._queues[state][lane.key] = lane
        if state in TIMED:
            self._wake_at = min(self._wake_at, lane.due_at)

    def _in(self, *states: LaneState) -> list[Lane]:
        return [lane for state in states for lane in self._queues[state].values()]

    def _may_be_preceded(self, lane: Lane) -> bool:
        """Return whether an earlier, applied event may be unread, so that its timeline entry may be missing."""
        # The wait has no time limit: an entry that is sent after that of a later event is out of order.
        if not lane.done_before_next and not self._earlier_were_read(lane.pending[min(lane.pending)].record):
            return True
        lane.pass_over_unread()
        return False

    def _depart(self, most: int, state: LaneState) -> list[Lane]:
        """Take up to *most* lanes of a queue for a call, oldest first."""
        lanes = [*islice(self._queues[state].values(), most)]
        for lane in lanes:
            self._enter(lane, LaneState.IN_FLIGHT)
            self.in_flight.begin(lane.key)
        return lanes

    def _release_hole(self, lane: Lane) -> None:
        """Let a lane go on without its missing events, if its hole is due and no earlier record is unread."""
        if lane.state is not LaneState.HOLE or lane.hole_since is None or lane.applied is None:
            return
        first = min(lane.pending)
        if not self._earlier_were_read(lane.pending[first].record):
            # The missing events may be unread, because of a backlog or because sending is halted.
            lane.hole_since = self._clock.monotonic() - lane.hole_limit_s + HOLE_AGAIN_S
            return
        self.holes_released += 1
        missing = {"missing_from": lane.applied + 1, "missing_to": first - 1}
        log.warning("lane.hole_released", **lane.pending[first].log_fields, **missing)
        lane.applied = lane.done = first - 1
        lane.gave_up = True
        lane.hole_since = None
