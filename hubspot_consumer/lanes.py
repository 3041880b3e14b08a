"""Lanes: the serial queue of each contact, in order of sequence, whatever topic an event came from.

A lane runs when the next event after the last applied one is there. It waits for a hole, for the call that is bringing
its earlier events to HubSpot, and for a backoff. When nobody remembers its contact it is either new, with its first
event here, or to be looked up in HubSpot: what was applied last is kept there, in `nerava_event_sequence`. A new
contact is created by a call that refuses one that exists, which is then looked up: so a restarted worker moves none
backwards.
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import structlog

from hubspot_consumer.lane import HOLE_LIMIT_S, Fold, Lane, Pending
from hubspot_consumer.records import Record
from runtime.clock import Clock
from schemas.contacts import ContactKey, contact_hash

log = structlog.get_logger()

# How many finished contacts are remembered; one that was forgotten costs a hundredth of a call.
REMEMBERED_CONTACTS: Final = 50_000
# Of a contact that was looked up just now: what is before its events was read with the siblings, or is gone, as when
# somebody deleted the contact in HubSpot.
HOLE_LIMIT_AFTER_LOOK_UP_S: Final = 10.0
LOOK_AGAIN_S: Final = 5.0
# Of whoever gave the events to Kafka.
CLOCKS_AGREE_S: Final = 1.0
# After a restart what was applied and not acked is read within seconds. In a backlog deeper than memory siblings are
# further apart than that, and to wait for them would fill it.
SIBLINGS_WAIT_S: Final = 5.0
SIBLINGS_AGAIN_S: Final = 0.25
# A fold that grows beyond this after a rejection is as good as unlimited.
LARGEST_PART: Final = 64


class Lanes:
    """All lanes of the partitions this worker holds. *siblings_passed* says whether a hole can still fill."""

    def __init__(self, clock: Clock, siblings_passed: Callable[[Record, float], bool] = lambda *_: True) -> None:
        self._clock = clock
        self._siblings_passed = siblings_passed
        self._lanes: dict[ContactKey, Lane] = {}
        self._remembered: OrderedDict[ContactKey, tuple[int, str | None]] = OrderedDict()
        self._unknown: OrderedDict[ContactKey, Lane] = OrderedDict()
        self._new: OrderedDict[ContactKey, Lane] = OrderedDict()
        self._ready: OrderedDict[ContactKey, Lane] = OrderedDict()
        self._waiting: dict[ContactKey, Lane] = {}
        # No lane that waits is due before.
        self._wake_at = math.inf
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
            lane.in_flight = True
        return lanes

    def known(self, lane: Lane, contact_id: str | None, sequence: int | None) -> None:
        """Say what HubSpot holds of a contact; `sequence` None where it can't be asked: what is here comes first."""
        lane.applied = min(lane.pending) - 1 if sequence is None else sequence
        lane.contact_id = contact_id
        lane.left_out = 0
        lane.looked_up_at = self._clock.monotonic()
        lane.hole_limit_s = HOLE_LIMIT_AFTER_LOOK_UP_S
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
        for event in fold.events:
            lane.pending.pop(event.sequence, None)
            event.finish()
        lane.applied = max(lane.applied or 0, fold.events[-1].sequence)
        lane.attempts = 0
        lane.hole_limit_s = HOLE_LIMIT_S
        if lane.most_events is not None:
            lane.most_events = lane.most_events * 2 if lane.most_events < LARGEST_PART else None
        self._again(lane, wait_s=0.0)

    def split(self, fold: Fold) -> None:
        """Give back a rejected fold, to come again in smaller parts until the guilty event stands alone."""
        fold.lane.most_events = max(1, len(fold.events) // 2)
        self._again(fold.lane, wait_s=0.0)

    def retry(self, fold: Fold, wait_s: float) -> None:
        """Give back a fold to be tried again after *wait_s* seconds; if it is `written`, without another upsert."""
        lane = fold.lane
        if fold.written:
            lane.applied = max(lane.applied or 0, fold.events[-1].sequence)
        self._again(lane, wait_s)

    def forget(self) -> None:
        """Drop everything: the partitions go to another worker, which will read again what was not acked."""
        self._lanes.clear()
        self._remembered.clear()
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
        for lane in list(self._waiting.values()):
            if lane.not_before:
                lane.not_before = 0.0
                self._place(lane)

    def wake(self) -> float | None:
        """Move lanes whose wait is over; return the seconds until the next one, None when none waits for time."""
        now = self._clock.monotonic()
        if now >= self._wake_at:
            self._wake_at = math.inf
            for lane in list(self._waiting.values()):
                if self._due(lane) <= now:
                    self._release_hole(lane)
                    self._place(lane)
                else:
                    self._wake_at = min(self._wake_at, self._due(lane))
        return max(0.0, self._wake_at - now) if self._waiting else None

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
        return sum(not (lane.hole_since is lane.looked_up_at is None) for lane in self._waiting.values())

    def _open(self, key: ContactKey) -> Lane:
        lane = Lane(key)
        if (memory := self._remembered.pop(key, None)) is not None:
            lane.applied, lane.contact_id = memory
        self._lanes[key] = lane
        return lane

    def _place(self, lane: Lane) -> None:
        if lane.in_flight:
            return
        self._waiting.pop(lane.key, None)
        self._pass_over_dead_letters(lane)
        if not lane.pending:
            self._close(lane)
        elif lane.not_before > self._clock.monotonic():
            self._wait(lane)
        elif lane.applied is None:
            (self._new if lane.may_be_new and _begins(lane) else self._unknown)[lane.key] = lane
        elif self._may_be_preceded(lane):
            # All at the same moments: whoever looks for who is due looks at all that wait.
            lane.not_before = (self._clock.monotonic() // SIBLINGS_AGAIN_S + 1) * SIBLINGS_AGAIN_S
            self._wait(lane)
        elif min(lane.pending) <= lane.applied + 1:
            lane.hole_since = None
            self._ready[lane.key] = lane
        else:
            lane.hole_since = self._clock.monotonic() if lane.hole_since is None else lane.hole_since
            self._wait(lane)

    def _wait(self, lane: Lane) -> None:
        self._waiting[lane.key] = lane
        self._wake_at = min(self._wake_at, self._due(lane))

    def _may_be_preceded(self, lane: Lane) -> bool:
        """Return whether an event that was applied already may be unread, whose timeline entry may not be there."""
        if lane.looked_up_at is not None and lane.applied:
            waited_s = self._clock.monotonic() - lane.looked_up_at
            if waited_s < SIBLINGS_WAIT_S and not self._siblings_passed(lane.pending[min(lane.pending)].record, 0.0):
                return True
        lane.looked_up_at = None
        return False

    def _fold(self, lane: Lane) -> Fold:
        lane.in_flight = True
        # One may have come since the lane was ready.
        self._pass_over_dead_letters(lane)
        applied = lane.applied or 0
        sequence = min(lane.pending)
        # Late or repeated: what it would set is there, newer. Its timeline entry is sent again, under the same uuid.
        late = sequence <= applied
        fold = Fold(lane, [], written=late, repeated=late, creates=lane.applied is None)
        while (event := lane.pending.get(sequence)) is not None and event.envelope is not None:
            if len(fold.events) == lane.most_events or (late and sequence > applied):
                break
            fold.events.append(event)
            sequence += 1
        return fold

    def _again(self, lane: Lane, wait_s: float) -> None:
        lane.in_flight = False
        lane.not_before = self._clock.monotonic() + wait_s if wait_s else 0.0
        # A lane that was forgotten meanwhile has no place any more.
        if self._lanes.get(lane.key) is lane:
            self._place(lane)

    def _pass_over_dead_letters(self, lane: Lane) -> None:
        while lane.applied is not None and lane.pending:
            first = min(lane.pending)
            if first > lane.applied + 1 or lane.pending[first].envelope is not None:
                return
            lane.pending.pop(first).finish()
            lane.applied = max(lane.applied, first)

    def _release_hole(self, lane: Lane) -> None:
        if lane.hole_since is None or lane.applied is None:
            return
        first = min(lane.pending)
        if not self._siblings_passed(lane.pending[first].record, CLOCKS_AGREE_S):
            # What is missing may be there, unread: a backlog, or sending is halted.
            lane.hole_since = self._clock.monotonic() - lane.hole_limit_s + LOOK_AGAIN_S
            return
        self.holes_released += 1
        log.warning(
            "lane.hole_released", contact=contact_hash(lane.key), missing_from=lane.applied + 1, missing_to=first - 1
        )
        lane.applied = first - 1
        lane.hole_since = None

    def _due(self, lane: Lane) -> float:
        hole_over = lane.hole_since + lane.hole_limit_s if lane.hole_since is not None else 0.0
        return max(lane.not_before, hole_over)

    def _close(self, lane: Lane) -> None:
        self._lanes.pop(lane.key, None)
        if lane.applied is not None:
            self._remembered[lane.key] = (lane.applied, lane.contact_id)
            if len(self._remembered) > REMEMBERED_CONTACTS:
                self._remembered.popitem(last=False)


def _first(most: int, lanes: OrderedDict[ContactKey, Lane]) -> list[Lane]:
    return [lanes.popitem(last=False)[1] for _ in range(min(most, len(lanes)))]


def _begins(lane: Lane) -> bool:
    first = lane.pending.get(1)
    return first is not None and first.envelope is not None
