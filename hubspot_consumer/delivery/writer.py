"""Calls: what one call to HubSpot asks for a batch of lanes, and what follows from its answer."""

import logging
import random
from collections.abc import Sequence
from typing import Final, assert_never

from hubspot_consumer.delivery.batches import Batch, halves
from hubspot_consumer.delivery.contact_writer import NOT_OURS, Again, ContactWriter
from hubspot_consumer.delivery.destination import Destination, Slot
from hubspot_consumer.delivery.email_changes import Moves
from hubspot_consumer.delivery.receipts import NO_RECEIPTS, Receipts
from hubspot_consumer.delivery.rejections import Rejections
from hubspot_consumer.delivery.timeline import Timeline
from hubspot_consumer.gates.circuit_breaker import HaltGate
from hubspot_consumer.gates.retries import wait_s
from hubspot_consumer.gates.suppressions import Suppressions
from hubspot_consumer.hubspot.outcomes import UNSURE, Delivered, Halt, Refusal, Rejected, RetryLater
from hubspot_consumer.hubspot.requests import KnownContacts, Upsert
from hubspot_consumer.kafka.lease import Lease
from hubspot_consumer.metrics import Telemetry
from hubspot_consumer.ordering.lane import Fold, Lane
from hubspot_consumer.ordering.lanes import Lanes
from runtime.clock import Clock
from runtime.logs import logger
from schemas.contacts import contact_hash

log = logger()

# An answer that leaves a contact out is a fault that passes; one that always does is not worth waiting for.
MOST_LOOK_UPS: Final = 6


class Calls:
    """Makes each kind of call, in a slot, and gives every lane back: finished, or to try again."""

    def __init__(  # noqa: PLR0913 - the composition root wires each of them by name
        self,
        *,
        lanes: Lanes,
        destination: Destination,
        contacts: ContactWriter,
        timeline: Timeline,
        rejections: Rejections,
        suppressions: Suppressions,
        moves: Moves,
        lease: Lease,
        halt: HaltGate,
        clock: Clock,
        telemetry: Telemetry,
        jitter: random.Random,
        receipts: Receipts = NO_RECEIPTS,
    ) -> None:
        self._lanes = lanes
        self._destination = destination
        self._contacts = contacts
        self._timeline = timeline
        self._rejections = rejections
        self._suppressions = suppressions
        self._moves = moves
        self._lease = lease
        self._halt = halt
        self._clock = clock
        self._telemetry = telemetry
        self._jitter = jitter
        self._receipts = receipts

    async def look_up(self, lanes: Sequence[Lane], slot: Slot) -> None:
        """Ask what HubSpot holds of up to 100 contacts."""
        with slot:
            found = await self._destination.known_contacts([lane.key for lane in lanes])
        match found:
            case dict():
                self._halt.hear(None)
                for lane in lanes:
                    self._looked_up(lane, found)
            case Rejected() if len(lanes) > 1:
                # One of them takes down the others, about whom HubSpot can tell.
                for half in halves(lanes):
                    await self.look_up(half, await self._destination.slot())
            case None | Rejected():
                # Nobody can tell. If it is the contact that is at fault, its upsert will say so.
                for lane in lanes:
                    self._lanes.known(lane, None, None)
            case RetryLater() | Halt():
                self._halt.hear(found)
                for lane in lanes:
                    self._lanes.still_unknown(lane, self._wait_s(lane, found))
            case _:
                assert_never(found)

    def _looked_up(self, lane: Lane, found: KnownContacts) -> None:
        if (contact := found.get(lane.key)) is not None:
            self._lanes.known(lane, contact.contact_id, contact.sequence)
        elif lane.key in found:
            self._lanes.known(lane, None, 0)
        elif lane.left_out < MOST_LOOK_UPS:
            # To take it for a new contact could move it backwards.
            lane.left_out += 1
            self._lanes.still_unknown(lane, self._wait_s(lane, RetryLater("HubSpot's answer leaves the contact out")))
        else:
            self._lanes.known(lane, None, None)

    async def deliver(self, folds: Sequence[Fold], slot: Slot) -> None:
        """Write up to 100 contacts, then leave their timeline entries."""
        folds = await self._wanted(folds)
        self._telemetry.taken(folds)
        written = [fold for fold in folds if fold.written]
        upserted = await self._upsert(Batch(fold for fold in folds if not fold.written), slot)
        await self._leave_timeline_entries(written + upserted)

    async def create(self, folds: Sequence[Fold], slot: Slot) -> None:
        """Write up to 100 contacts that are new, then leave their timeline entries; look up those that are not."""
        folds = await self._wanted(folds)
        self._telemetry.taken(folds)
        batch, written = Batch(folds), list[Fold]()
        if not batch.upserts:
            slot.give_back()
            return
        answer = await self._contacts.create(batch.upserts, slot)
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

    async def _upsert(self, batch: Batch, slot: Slot) -> list[Fold]:
        """Return the folds that are written now; the others are back in their lanes or in the dead letters."""

        def guard(upsert: Upsert) -> Again | RetryLater | None:
            # While a half waited for its slot, another worker may have been given its contacts.
            if not self._lanes.owns(batch.fold(upsert.trace_id)):
                return NOT_OURS
            return None if self._lease.valid else UNSURE

        written = []
        async for upsert, outcome in self._contacts.upsert(batch.upserts, slot, guard):
            fold = batch.fold(upsert.trace_id)
            match outcome:
                case Delivered():
                    written.append(_written(fold, outcome))
                case Again(conflict=True):
                    # By then it is there, to be updated.
                    self._retry(fold, RetryLater(outcome.why))
                case Again():
                    self._lanes.retry(fold, 0.0)
                case RetryLater() | Halt():
                    self._retry(fold, outcome)
                case Rejected():
                    await self._rejected(fold, outcome)
                case _:
                    assert_never(outcome)
        return written

    async def _rejected(self, fold: Fold, rejection: Rejected) -> None:
        if len(fold.events) > 1:
            self._lanes.split(fold)
        elif (halt := await self._rejections.reject(fold, fold.events[0], rejection)) is None:
            self._lanes.finished(fold)
        else:
            self._retry(fold, halt)

    async def _wanted(self, folds: Sequence[Fold]) -> list[Fold]:
        """Return the folds to write: of nobody who is suppressed, and of nobody with an event that can't be mapped.

        Whoever has a new email is moved first.
        """
        wanted = []
        for fold in folds:
            if self._suppressions.holds(fold.lane.key):
                self._telemetry.suppressed.inc(len(fold.events))
                for event in fold.events:
                    self._receipts.suppressed(event, fold.lane.attempts)
                self._lanes.finished(fold)
            elif (failed := fold.mapping_failed) is not None:
                await self._rejected(fold, Rejected("mapping_failed", str(failed)))
            elif (refusal := await self._moves.before(fold)) is not None:
                self._halt.hear(refusal)
                self._retry(fold, refusal)
            else:
                wanted.append(fold)
        return wanted

    async def _leave_timeline_entries(self, folds: Sequence[Fold]) -> None:
        refused = await self._timeline.leave(folds)
        for fold in folds:
            if (refusal := refused.get(fold)) is not None:
                self._retry(fold, refusal)
            else:
                self._count(fold)
                self._lanes.finished(fold)

    def _count(self, fold: Fold) -> None:
        now, telling = self._clock.now(), log.is_enabled_for(logging.DEBUG)
        for event in fold.events:
            self._telemetry.delivered(event, now)
            if event not in fold.set_aside:
                self._receipts.delivered(event, fold.lane)
            if event.envelope is not None and telling:
                log.debug("event.delivered", **event.told, contact_id=fold.lane.contact_id)
        self._rejections.delivered(len(fold.events))

    def _retry(self, fold: Fold, refusal: Refusal) -> None:
        after_s = self._wait_s(fold.lane, refusal)
        if log.is_enabled_for(logging.DEBUG):
            log.debug(
                "delivery.retry_scheduled",
                contact=contact_hash(fold.lane.key),
                event_ids=[str(envelope.id) for envelope in fold.envelopes],
                attempt=fold.lane.attempts,
                wait_s=round(after_s, 1),
                why=refusal.cause if isinstance(refusal, RetryLater) else refusal.detail,
                correlation_id=refusal.correlation_id,
            )
        self._lanes.retry(fold, after_s)

    def _wait_s(self, lane: Lane, refusal: Refusal) -> float:
        if isinstance(refusal, RetryLater):
            lane.attempts += 1
        return wait_s(refusal, lane.attempts, self._jitter)


def _written(fold: Fold, outcome: Delivered) -> Fold:
    fold.written, fold.lane.contact_id = True, outcome.contact_id
    return fold
