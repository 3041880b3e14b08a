"""The lane writer: makes the calls to HubSpot for a batch of lanes, and applies their answers to the lanes."""

import logging
import random
from collections.abc import Sequence
from functools import partial
from typing import Final, assert_never

from hubspot_consumer.delivery.batches import Batch, halves
from hubspot_consumer.delivery.blocked import Blocked
from hubspot_consumer.delivery.contact_writer import NOT_OURS, Again, ContactWriter, MayExist
from hubspot_consumer.delivery.destination import Destination, Slot, Turn
from hubspot_consumer.delivery.email_changes import ContactMoves
from hubspot_consumer.delivery.receipts import Receipts
from hubspot_consumer.delivery.rejections import SEQUENCE_REUSED, Rejections
from hubspot_consumer.delivery.resyncs import Resyncs
from hubspot_consumer.delivery.timeline import Timeline
from hubspot_consumer.gates.circuit_breaker import CircuitBreaker
from hubspot_consumer.gates.retries import wait_s
from hubspot_consumer.gates.suppressions import Suppressions
from hubspot_consumer.hubspot.outcomes import UNSURE, Delivered, Halt, Outcome, Refusal, Rejected, RetryLater
from hubspot_consumer.hubspot.requests import KnownContacts, Upsert
from hubspot_consumer.kafka.lease import Lease
from hubspot_consumer.metrics import Telemetry
from hubspot_consumer.ordering.lane import ContactUpdate, Lane
from hubspot_consumer.ordering.lanes import Lanes
from runtime.clock import Clock
from runtime.logs import log
from schemas.contacts import contact_hash

# An answer may lack a requested contact by a passing fault; after this many look-ups the lane goes on without it.
MOST_LOOK_UPS: Final = 6
DOUBTFUL_AGAIN_S: Final = 5.0


class LaneWriter:
    """Makes each kind of call, in a slot, and gives back every lane, finished or for another attempt."""

    def __init__(  # noqa: PLR0913 - the composition root wires each of them by name
        self,
        *,
        lanes: Lanes,
        destination: Destination,
        contacts: ContactWriter,
        timeline: Timeline,
        rejections: Rejections,
        suppressions: Suppressions,
        moves: ContactMoves,
        lease: Lease,
        breaker: CircuitBreaker,
        clock: Clock,
        telemetry: Telemetry,
        jitter: random.Random,
        receipts: Receipts,
        resyncs: Resyncs,
    ) -> None:
        self._lanes = lanes
        self._destination = destination
        self._contacts = contacts
        self._timeline = timeline
        self._rejections = rejections
        self._suppressions = suppressions
        self._moves = moves
        self._lease = lease
        self._breaker = breaker
        self._blocked = Blocked(breaker)
        self._clock = clock
        self._telemetry = telemetry
        self._jitter = jitter
        self._receipts = receipts
        self._resyncs = resyncs

    async def look_up(self, lanes: Sequence[Lane], slot: Slot) -> None:
        """Look up the ids and sequences of up to 100 contacts, and give their lanes back."""
        turn = Turn(self._destination, slot)
        found = await self._destination.known_contacts([lane.key for lane in lanes], turn.slot)
        match found:
            case dict():
                self._breaker.record(None)
                for lane in lanes:
                    self._looked_up(lane, found)
            case Rejected() | RetryLater() if self._blocked.is_worth_halving(found, len(lanes)):
                for half in halves(lanes):
                    await self.look_up(half, await self._destination.slot())
            case None | Rejected():
                # The contact can't be looked up. If the contact itself is at fault, its upsert is rejected too.
                for lane in lanes:
                    self._lanes.known(lane, None, None)
            case RetryLater() | Halt():
                self._breaker.record(found)
                for lane in lanes:
                    if len(lanes) == 1 and self._blocked.is_final(found, lane.key):
                        self._lanes.known(lane, None, None)
                    else:
                        self._lanes.give_back(lane, self._wait_s(lane, found))
            case _:
                assert_never(found)

    def _looked_up(self, lane: Lane, found: KnownContacts) -> None:
        if (contact := found.get(lane.key)) is not None:
            self._lanes.known(lane, contact.contact_id, contact.applied, contact.event_ids)
        elif lane.key in found:
            self._lanes.known(lane, None, 0)
        elif lane.left_out < MOST_LOOK_UPS:
            # The contact may exist: treating it as new could overwrite newer values.
            lane.left_out += 1
            self._lanes.give_back(lane, self._wait_s(lane, RetryLater("HubSpot's answer leaves the contact out")))
        else:
            self._lanes.known(lane, None, None)

    async def deliver(self, updates: Sequence[ContactUpdate], slot: Slot) -> None:
        """Write up to 100 contacts, then send their timeline entries."""
        turn = Turn(self._destination, slot)
        updates = await self._wanted(updates, turn)
        self._telemetry.taken(updates)
        batch = Batch(update for update in updates if not update.written)

        def guard(upsert: Upsert) -> Again | RetryLater | None:
            # During the wait of a half for its slot, another worker may have been assigned the partitions.
            return self._not_ours(batch.update(upsert.trace_id))

        if batch.upserts:
            async for upsert, outcome in self._contacts.upsert(batch.upserts, await turn.slot(), guard):
                await self._apply(batch.update(upsert.trace_id), outcome)
        else:
            turn.give_back()
        await self._leave_timeline_entries([update for update in updates if update.written])

    async def create(self, updates: Sequence[ContactUpdate], slot: Slot) -> None:
        """Create up to 100 contacts, then send their timeline entries; contacts that may exist are looked up."""
        turn = Turn(self._destination, slot)
        updates = await self._wanted(updates, turn)
        self._telemetry.taken(updates)
        if updates:
            create_slot = await turn.slot()
            batch = Batch(updates := await self._still_ours(updates))
            if batch.upserts:
                for upsert, outcome in await self._contacts.create(batch.upserts, create_slot):
                    await self._apply(batch.update(upsert.trace_id), outcome)
            else:
                create_slot.give_back()
        else:
            turn.give_back()
        await self._leave_timeline_entries([update for update in updates if update.written])

    def _not_ours(self, update: ContactUpdate) -> Again | RetryLater | None:
        """Return why another worker may have the contact by now, or None."""
        if not self._lanes.owns(update):
            return NOT_OURS
        return None if self._lease.valid else UNSURE

    async def _still_ours(self, updates: Sequence[ContactUpdate]) -> list[ContactUpdate]:
        """Return the updates that are this worker's, and give the others back: moves and slots take time."""
        ours = []
        for update in updates:
            if (refusal := self._not_ours(update)) is not None:
                await self._apply(update, refusal)
            else:
                ours.append(update)
        return ours

    async def _apply(self, update: ContactUpdate, outcome: Outcome | Again | MayExist) -> None:
        """Mark an update that was written, and give the lane of any other back."""
        match outcome:
            case Delivered():
                self._resyncs.written(update, outcome)
                update.written, update.lane.contact_id = True, outcome.contact_id
            case MayExist():
                self._lanes.exists(update)
            case Again(conflict=True):
                # At the next attempt the contact exists, and is updated.
                self._retry(update, RetryLater(outcome.why))
            case Again():
                self._lanes.retry(update, 0.0)
            case RetryLater() | Halt():
                self._retry(update, outcome)
            case Rejected():
                await self._rejected(update, outcome)
            case _:
                assert_never(outcome)

    async def _rejected(self, update: ContactUpdate, rejection: Rejected) -> None:
        if len(update.events) > 1:
            self._lanes.split(update)
        elif (halt := await self._rejections.reject(update, update.events[0], rejection)) is None:
            self._lanes.finished(update)
        else:
            self._retry(update, halt)

    async def _wanted(self, updates: Sequence[ContactUpdate], turn: Turn) -> list[ContactUpdate]:
        """Return the updates to write, without suppressed contacts and without events that can't be mapped.

        Contacts with a new email are moved first. An update that can't be written yet is given back.
        """
        wanted = []
        for update in updates:
            if self._suppressions.contains(update.lane.key):
                self._telemetry.suppressed.inc(len(update.events))
                for event in update.events:
                    self._receipts.suppressed(event, update.lane.attempts)
                self._lanes.finished(update)
            elif update.reused:
                await self._rejected(update, SEQUENCE_REUSED)
            elif update.doubtful:
                # A resync writes the right sequence meanwhile, or leaves the events to this worker.
                self._resyncs.doubtful(update)
                self._lanes.retry(update, DOUBTFUL_AGAIN_S)
            elif (failed := update.mapping_failed) is not None:
                if update.creates:
                    # The event becomes a dead letter only after a look-up: the contact may have newer values.
                    self._lanes.exists(update)
                else:
                    await self._rejected(update, Rejected("mapping_failed", str(failed)))
            elif (refusal := await self._moves.before(update, turn, partial(self._not_ours, update))) is not None:
                self._breaker.record(refusal)
                self._retry(update, refusal)
            else:
                wanted.append(update)
        return wanted

    async def _leave_timeline_entries(self, updates: Sequence[ContactUpdate]) -> None:
        refused = await self._timeline.leave(updates)
        for update in updates:
            if (refusal := refused.get(update)) is not None:
                self._retry(update, refusal)
            else:
                self._count(update)
                self._lanes.finished(update)

    def _count(self, update: ContactUpdate) -> None:
        now, debugging = self._clock.now(), log.is_enabled_for(logging.DEBUG)
        self._telemetry.unverified.inc(update.unverified)
        for event in update.events:
            self._telemetry.delivered(event, now)
            if event not in update.set_aside:
                self._receipts.delivered(event, update.lane)
            if event.envelope is not None and debugging:
                log.debug("event.delivered", **event.log_fields, contact_id=update.lane.contact_id)
        self._rejections.delivered(len(update.events))

    def _retry(self, update: ContactUpdate, refusal: Refusal) -> None:
        after_s = self._wait_s(update.lane, refusal)
        if log.is_enabled_for(logging.DEBUG):
            log.debug(
                "delivery.retry_scheduled",
                contact=contact_hash(update.lane.key),
                event_ids=[str(envelope.id) for envelope in update.envelopes],
                attempt=update.lane.attempts,
                wait_s=round(after_s, 1),
                why=refusal.detail,
                correlation_id=refusal.correlation_id,
            )
        self._lanes.retry(update, after_s)

    def _wait_s(self, lane: Lane, refusal: Refusal) -> float:
        if isinstance(refusal, RetryLater):
            lane.attempts += 1
        return wait_s(refusal, lane.attempts, self._jitter)
