"""Calls: what one call to HubSpot asks for a batch of lanes, and what follows from its answer."""

import random
from collections.abc import Collection, Sequence
from typing import Final, TypeVar, assert_never

import structlog

from hubspot_consumer.batches import Batch, TimelineItem, timeline_calls
from hubspot_consumer.dead_letters import DeadLetters
from hubspot_consumer.destination import Destination, Slot
from hubspot_consumer.halt import HaltGate
from hubspot_consumer.hubspot.requests import KnownContacts, Upsert
from hubspot_consumer.hubspot.responses import UpsertAnswer
from hubspot_consumer.lane import Fold, Lane, Pending
from hubspot_consumer.lanes import Lanes
from hubspot_consumer.lease import Lease
from hubspot_consumer.outcomes import Delivered, Halt, Outcome, Refusal, Rejected, RetryLater
from hubspot_consumer.rejections import Rejections
from hubspot_consumer.telemetry import Telemetry
from runtime.backoff import backoff_s
from runtime.clock import Clock
from schemas.contacts import contact_hash

log = structlog.get_logger()
Item = TypeVar("Item")

# An answer that leaves a contact out is a fault that passes; one that always does is not worth waiting for.
MOST_LOOK_UPS: Final = 6


class Calls:
    """Makes each kind of call, in a slot, and gives every lane back: finished, or to try again."""

    def __init__(  # noqa: PLR0913 - the composition root wires each of them by name
        self,
        *,
        lanes: Lanes,
        destination: Destination,
        dead_letters: DeadLetters,
        rejections: Rejections,
        lease: Lease,
        halt: HaltGate,
        clock: Clock,
        telemetry: Telemetry,
        jitter: random.Random,
    ) -> None:
        self._lanes = lanes
        self._destination = destination
        self._dead_letters = dead_letters
        self._rejections = rejections
        self._lease = lease
        self._halt = halt
        self._clock = clock
        self._telemetry = telemetry
        self._jitter = jitter
        # Whether the portal takes timeline entries; a dry run says what it would send.
        self.timeline = True

    async def look_up(self, lanes: Sequence[Lane], slot: Slot) -> None:
        """Ask what HubSpot holds of up to 100 contacts."""
        with slot:
            found = await self._destination.known_contacts([lane.key for lane in lanes])
        match found:
            case dict():
                self._heard(None)
                for lane in lanes:
                    self._looked_up(lane, found)
            case None | Rejected():
                # Nobody can tell. If it is the contact that is at fault, its upsert will say so.
                for lane in lanes:
                    self._lanes.known(lane, None, None)
            case RetryLater() | Halt():
                self._heard(found)
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

    async def deliver(self, folds: Sequence[Fold], slot: Slot) -> None:
        """Write up to 100 contacts, then leave their timeline entries."""
        batch = Batch(fold for fold in folds if not fold.written)
        written = [fold for fold in folds if fold.written]
        await self._leave_timeline_entries(written + await self._upsert(batch, batch.upserts(), slot))

    async def create(self, folds: Sequence[Fold], slot: Slot) -> None:
        """Write up to 100 contacts that are new, then leave their timeline entries; look up those that are not."""
        batch, written = Batch(folds), list[Fold]()
        inputs = batch.upserts()
        with slot:
            answer = await self._destination.create(inputs)
        self._heard_outcomes(answer.outcomes.values())
        for trace_id, outcome in answer.outcomes.items():
            fold = batch.fold(trace_id)
            match outcome:
                case Delivered():
                    written.append(_written(fold, outcome))
                case RetryLater() | Halt():
                    self._retry(fold, outcome)
                case Rejected():
                    # Most likely there is one. What else may be wrong with it, its upsert will say.
                    self._lanes.exists(fold)
                case _:
                    assert_never(outcome)
        for upsert in answer.unclear:
            self._lanes.exists(batch.fold(upsert.trace_id))
        await self._leave_timeline_entries(written)

    async def _upsert(self, batch: Batch, inputs: Sequence[Upsert], slot: Slot) -> list[Fold]:
        """Return the folds that are written now; the others are back in their lanes or in the dead letters."""
        # While a half waited for its slot, another worker may have been given its contacts.
        inputs = [upsert for upsert in inputs if self._lanes.holds(batch.fold(upsert.trace_id))]
        if not inputs:
            # Only timeline entries, which need no slot.
            slot.give_back()
            return []
        with slot:
            # Between this look and the call nothing else runs: see the lease.
            answer = await self._destination.upsert(inputs) if self._lease.valid else _unsure(inputs)
        self._heard_outcomes(answer.outcomes.values())
        written = []
        for trace_id, outcome in answer.outcomes.items():
            fold = batch.fold(trace_id)
            if isinstance(outcome, Delivered):
                written.append(_written(fold, outcome))
            else:
                await self._not_written(fold, outcome)
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
                halt = await self._reject(fold, fold.events[0], outcome)
                if halt is None:
                    self._lanes.finished(fold)
                else:
                    self._retry(fold, halt)
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
                self._heard(None)
                return {}
            case RetryLater() | Halt():
                self._heard(refusal)
                return {id(fold): refusal for fold, _, _ in items}
            case Rejected() if len(items) > 1:
                first, second = _halves(items)
                refused = await self._send(first)
                return refused | await self._send([item for item in second if id(item[0]) not in refused])
            case Rejected():
                fold, event, _ = items[0]
                halt = await self._reject(fold, event, Rejected("timeline_entry_rejected", refusal.detail))
                return {id(fold): halt} if halt is not None else {}
            case _:
                assert_never(refusal)

    async def _reject(self, fold: Fold, event: Pending, rejection: Rejected) -> Halt | None:
        """Set *event* aside, unless that has happened too often of late: then return why nothing is sent any more."""
        if self._rejections.too_many:
            number, detail = self._rejections.last_hour, rejection.detail
            halt = Halt("too_many_dead_letters", f"{number} events rejected within an hour; and now: {detail}")
            self._halt.close(halt)
            return halt
        self._rejections.rejected()
        log.warning(
            "delivery.rejected", contact=contact_hash(fold.lane.key), reason=rejection.reason, detail=rejection.detail
        )
        await self._dead_letters.put(event.record, rejection.reason, rejection.detail, fold.lane.attempts + 1)
        return None

    def _heard_outcomes(self, outcomes: Collection[Outcome]) -> None:
        """Take an answer's outcomes for what they say of HubSpot as a whole."""
        self._telemetry.upserted(outcomes)
        refusals = [outcome for outcome in outcomes if isinstance(outcome, RetryLater | Halt)]
        delivered = any(isinstance(outcome, Delivered) for outcome in outcomes)
        if delivered or len(refusals) < len(outcomes):
            self._heard(None, delivered=delivered)
        elif refusals:
            self._heard(refusals[0])

    def _heard(self, refusal: RetryLater | Halt | None, *, delivered: bool = False) -> None:
        match refusal:
            case None:
                if self._halt.answered(delivered=delivered):
                    self._lanes.stop_backing_off()
            case Halt():
                self._halt.close(refusal)
            case RetryLater():
                if refusal.outage:
                    self._halt.failed(refusal.cause)
            case _:
                assert_never(refusal)

    def _count(self, fold: Fold) -> None:
        now = self._clock.now()
        for event in fold.events:
            if event.envelope is not None:
                self._telemetry.delivered.labels(event.envelope.type).inc()
                self._telemetry.latency.observe((now - event.record.timestamp).total_seconds())
        self._rejections.delivered(len(fold.events))

    def _retry(self, fold: Fold, refusal: Refusal) -> None:
        self._lanes.retry(fold, self._wait_s(fold.lane, refusal))

    def _wait_s(self, lane: Lane, refusal: Refusal) -> float:
        asked_s = 0.0
        if isinstance(refusal, RetryLater):
            lane.attempts += 1
            asked_s = refusal.after.total_seconds() if refusal.after else 0.0
        # Never before the time that HubSpot asked for, and spread after it.
        return asked_s + backoff_s(max(1, lane.attempts), self._jitter)


def _unsure(inputs: Sequence[Upsert]) -> UpsertAnswer:
    refusal = RetryLater("the group has not been heard of, and may have given the partitions away")
    return UpsertAnswer(outcomes={upsert.trace_id: refusal for upsert in inputs})


def _written(fold: Fold, outcome: Delivered) -> Fold:
    fold.written, fold.lane.contact_id = True, outcome.contact_id
    return fold


def _halves(items: Sequence[Item]) -> tuple[Sequence[Item], Sequence[Item]]:
    middle = (len(items) + 1) // 2
    return items[:middle], items[middle:]
