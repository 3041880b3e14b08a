"""Delivery: from ready lanes to HubSpot and back to finished events.

Natural batching: whenever pacing gives a slot, whatever is ready goes. An idle system sends one event in milliseconds;
one with a backlog sends a hundred contacts and several hundred events a call.
"""

import asyncio
import random
from collections.abc import Coroutine, Sequence
from typing import Any, Final, TypeVar, assert_never

import structlog

from hubspot_consumer.batches import Batch, TimelineItem, timeline_calls
from hubspot_consumer.dead_letters import DeadLetters
from hubspot_consumer.destination import Destination, Slot
from hubspot_consumer.halt import HaltGate
from hubspot_consumer.hubspot.requests import MOST_UPSERTS, KnownContacts, Upsert
from hubspot_consumer.lanes import Fold, Lane, Lanes, Pending
from hubspot_consumer.outcomes import Delivered, Halt, Refusal, Rejected, RetryLater
from hubspot_consumer.telemetry import Telemetry
from runtime.backoff import backoff_s
from runtime.clock import Clock
from schemas.contacts import contact_hash

log = structlog.get_logger()
Item = TypeVar("Item")

# Enough to use up a quota of 190 calls in ten seconds at 400 ms a call.
MOST_CALLS_IN_FLIGHT: Final = 8
# A look-up that few contacts wait for gives way to fuller upserts this often and no more.
MOST_PASSED_OVER: Final = 3
# An answer that leaves a contact out is a fault that passes; one that always does is not worth waiting for.
MOST_LOOK_UPS: Final = 6


class Delivery:
    """Takes what is ready from *lanes* to *destination*, in slots, several calls in flight."""

    def __init__(  # noqa: PLR0913 - the composition root wires each of them by name
        self,
        *,
        lanes: Lanes,
        destination: Destination,
        dead_letters: DeadLetters,
        halt: HaltGate,
        clock: Clock,
        telemetry: Telemetry,
        jitter: random.Random,
    ) -> None:
        self._lanes = lanes
        self._destination = destination
        self._dead_letters = dead_letters
        self._halt = halt
        self._clock = clock
        self._telemetry = telemetry
        self._jitter = jitter
        # Whether the portal takes timeline entries; a dry run says what it would send.
        self.timeline = True
        self._changed = asyncio.Event()
        self._calls: set[asyncio.Task[None]] = set()
        self._may_call = asyncio.Semaphore(MOST_CALLS_IN_FLIGHT)
        self._passed_over = 0
        self._fault: BaseException | None = None
        self._taking = asyncio.Event()
        self._taking.set()

    def notify(self) -> None:
        """Say that something was added to the lanes."""
        self._changed.set()

    @property
    def calls_in_flight(self) -> int:
        return len(self._calls)

    async def run(self) -> None:
        """Deliver until cancelled; calls in flight then go on, see `settle`. Raises what a fault of ours raised."""
        while True:
            await self._something_ready()
            probing = await self._halt.open()
            await self._may_call.acquire()
            slot = await self._destination.slot()
            if not self._has_work:
                # A call that ended meanwhile took it along.
                slot.give_back()
                self._may_call.release()
                continue
            task = asyncio.create_task(self._next_call(slot, probing=probing))
            self._calls.add(task)
            task.add_done_callback(self._call_done)
            if probing:
                await asyncio.wait([task])

    async def settle(self, seconds: float) -> bool:
        """Take nothing more until `resume`; return whether the calls in flight ended within *seconds*."""
        self._taking.clear()
        if self._calls:
            await asyncio.wait(self._calls, timeout=seconds)
        return not self._calls

    def resume(self) -> None:
        """Take again, after `settle`."""
        self._taking.set()
        self.notify()

    def _call_done(self, task: asyncio.Task[None]) -> None:
        self._calls.discard(task)
        self._may_call.release()
        self.notify()
        if not task.cancelled():
            self._fault = self._fault or task.exception()

    @property
    def _has_work(self) -> bool:
        return self._taking.is_set() and bool(self._lanes.ready or self._lanes.unknown)

    async def _something_ready(self) -> None:
        while True:
            if self._fault is not None:
                # What the call held is not acked: it comes again after a restart. Carrying on would leave it stuck.
                raise self._fault
            self._changed.clear()
            next_due_s = self._lanes.wake()
            if self._has_work:
                return
            try:
                await asyncio.wait_for(self._changed.wait(), next_due_s)
            except TimeoutError:
                continue

    def _next_call(self, slot: Slot, *, probing: bool) -> Coroutine[Any, Any, None]:
        # Takes the lanes at once, not when the call begins: the next slot sees what is left.
        most = 1 if probing else MOST_UPSERTS
        unknown, ready = self._lanes.unknown, self._lanes.ready
        if unknown and (unknown >= ready or self._passed_over >= MOST_PASSED_OVER):
            self._passed_over = 0
            return self._look_up(self._lanes.take_unknown(most), slot)
        self._passed_over += bool(unknown)
        return self._deliver(self._lanes.take(most), slot)

    async def _look_up(self, lanes: Sequence[Lane], slot: Slot) -> None:
        with slot:
            found = await self._destination.known_contacts([lane.key for lane in lanes])
        match found:
            case dict():
                self._halt.answered()
                for lane in lanes:
                    self._looked_up(lane, found)
            case None | Rejected():
                # Nobody can tell. If it is the contact that is at fault, its upsert will say so.
                for lane in lanes:
                    self._lanes.known(lane, None, None)
            case RetryLater() | Halt():
                for lane in lanes:
                    self._lanes.still_unknown(lane, self._wait_s(lane, found))
            case _:
                assert_never(found)

    def _looked_up(self, lane: Lane, found: KnownContacts) -> None:
        if (contact := found.get(lane.key)) is not None:
            self._lanes.known(lane, contact.contact_id, contact.sequence)
        elif lane.key in found:
            self._lanes.known(lane, None, 0)
        elif lane.attempts < MOST_LOOK_UPS:
            # To take it for a new contact could move it backwards.
            self._lanes.still_unknown(lane, self._wait_s(lane, RetryLater("HubSpot's answer leaves the contact out")))
        else:
            self._lanes.known(lane, None, None)

    async def _deliver(self, folds: Sequence[Fold], slot: Slot) -> None:
        batch = Batch(fold for fold in folds if not fold.written)
        written = [fold for fold in folds if fold.written]
        await self._leave_timeline_entries(written + await self._upsert(batch, batch.upserts(), slot))

    async def _upsert(self, batch: Batch, inputs: Sequence[Upsert], slot: Slot) -> list[Fold]:
        """Return the folds that are written now; the others are back in their lanes or in the dead letters."""
        if not inputs:
            # Only timeline entries, which need no slot.
            slot.give_back()
            return []
        with slot:
            answer = await self._destination.upsert(inputs)
        self._telemetry.upserted(answer.outcomes.values())
        written = []
        for trace_id, outcome in answer.outcomes.items():
            fold = batch.fold(trace_id)
            if isinstance(outcome, Delivered):
                fold.written, fold.lane.contact_id = True, outcome.contact_id
                written.append(fold)
            else:
                await self._not_written(fold, outcome)
        if any(isinstance(outcome, Delivered | Rejected) for outcome in answer.outcomes.values()):
            self._halt.answered()
        for half in filter(None, _halves(answer.unclear)):
            written += await self._upsert(batch, half, await self._destination.slot())
        return written

    async def _not_written(self, fold: Fold, outcome: Refusal) -> None:
        match outcome:
            case RetryLater() | Halt():
                self._retry(fold, outcome)
            case Rejected() if len(fold.events) > 1:
                self._lanes.split(fold)
            case Rejected():
                await self._reject(fold, fold.events[0], outcome)
                self._lanes.finished(fold)
            case _:
                assert_never(outcome)

    async def _leave_timeline_entries(self, folds: Sequence[Fold]) -> None:
        refused: dict[int, Refusal] = {}
        if self.timeline:
            for items in timeline_calls(folds):
                # A contact's entries go in order: what follows a refused one waits with it.
                refused |= await self._send([item for item in items if id(item[0]) not in refused])
        for fold in folds:
            if (refusal := refused.get(id(fold))) is not None:
                self._retry(fold, refusal)
            else:
                self._count(fold)
                self._lanes.finished(fold)

    async def _send(self, items: Sequence[TimelineItem]) -> dict[int, Refusal]:
        """Return the refusals by fold; what is rejected for good is a dead letter, and no refusal."""
        if not items:
            return {}
        refusal = await self._destination.send([entry for _, _, entry in items])
        match refusal:
            case None:
                self._halt.answered()
                return {}
            case RetryLater() | Halt():
                return {id(fold): refusal for fold, _, _ in items}
            case Rejected() if len(items) > 1:
                first, second = _halves(items)
                refused = await self._send(first)
                return refused | await self._send([item for item in second if id(item[0]) not in refused])
            case Rejected():
                fold, event, _ = items[0]
                await self._reject(fold, event, Rejected("timeline_entry_rejected", refusal.detail))
                return {}
            case _:
                assert_never(refusal)

    async def _reject(self, fold: Fold, event: Pending, rejection: Rejected) -> None:
        log.warning(
            "delivery.rejected", contact=contact_hash(fold.lane.key), reason=rejection.reason, detail=rejection.detail
        )
        await self._dead_letters.put(event.record, rejection.reason, rejection.detail, fold.lane.attempts + 1)

    def _count(self, fold: Fold) -> None:
        now = self._clock.now()
        for event in fold.events:
            if event.envelope is not None:
                self._telemetry.delivered.labels(event.envelope.type).inc()
                self._telemetry.latency.observe((now - event.record.timestamp).total_seconds())

    def _retry(self, fold: Fold, refusal: Refusal) -> None:
        self._lanes.retry(fold, self._wait_s(fold.lane, refusal))

    def _wait_s(self, lane: Lane, refusal: Refusal) -> float:
        asked_s = 0.0
        if isinstance(refusal, RetryLater):
            lane.attempts += 1
            asked_s = refusal.after.total_seconds() if refusal.after else 0.0
        elif isinstance(refusal, Halt):
            self._halt.close(refusal)
        # Never before the time that HubSpot asked for, and spread after it.
        return asked_s + backoff_s(max(1, lane.attempts), self._jitter)


def _halves(items: Sequence[Item]) -> tuple[Sequence[Item], Sequence[Item]]:
    middle = (len(items) + 1) // 2
    return items[:middle], items[middle:]
