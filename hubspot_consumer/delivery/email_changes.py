"""Email changes: an event that names the contact's previous email moves the remote contact to the new email.

Without the move, HubSpot would have two contacts. The two emails are two contact keys and have two lanes, often in two
workers. So the move waits until the group has finished the events of the previous key that Kafka stored by then: an
upsert of the previous key after the move would create its contact again.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from weakref import WeakKeyDictionary

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from hubspot_consumer.delivery.destination import Destination, Turn
from hubspot_consumer.hubspot.outcomes import UNSURE, Halt, Rejected, RetryLater
from hubspot_consumer.kafka.lag import Lag
from hubspot_consumer.ordering.lane import ContactUpdate, Lane
from hubspot_consumer.ordering.lanes import Lanes
from runtime.clock import Clock
from runtime.logs import log
from schemas.contacts import ContactKey, contact_hash, contact_key
from schemas.events import MerchantContactUpdated

LOOK_AGAIN: Final = timedelta(seconds=2)
# Time in which this worker reads the co-partitioned topics up to the same moment.
GRACE_S: Final = 5.0
# The limit ends the wait of two contacts that swap their emails, which would wait for each other for ever. It is long
# because the moves of one contact wait for each other, and each may take half a minute with a small share of the quota.
LONGEST_WAIT_S: Final = 600.0


@dataclass(frozen=True)
class _Wait:
    """The start time of a move's wait, and the offsets up to which the group has to finish its partitions.

    First these are the ends of the previous key's partitions. They become those after its last events as soon as those
    are `searched`: other events in these partitions may be moves that wait for this one.
    """

    since: float
    ends: Mapping[TopicPartition, int]
    searched: bool = False


class ContactMoves:
    """Moves contacts to their new emails before they are written."""

    def __init__(self, lanes: Lanes, destination: Destination, lag: Lag, clock: Clock) -> None:
        self._lanes = lanes
        self._destination = destination
        self._lag = lag
        self._clock = clock
        # Waits are stored by lane, so that an event that is read again after a rebalance waits anew.
        self._waits: WeakKeyDictionary[Lane, dict[ContactKey, _Wait]] = WeakKeyDictionary()

    async def before(
        self, update: ContactUpdate, turn: Turn, not_ours: Callable[[], object | None]
    ) -> RetryLater | Halt | None:
        """Move the contacts of the previous emails in *update*, each call in a slot of *turn*.

        *not_ours* returns why another worker may have the contact by now, or None. Returns why the update can't be
        written yet, or None.
        """
        if update.written:
            return None
        for previous in previous_keys(update):
            try:
                if not await self._finished(update, previous):
                    return RetryLater("events of the contact's previous email are not finished yet", LOOK_AGAIN)
            except (KafkaError, OSError) as error:
                return RetryLater(f"Kafka does not say what is finished: {type(error).__name__}", LOOK_AGAIN)
            if self._lanes.is_held(previous):
                return RetryLater("a run holds the contact's previous email", LOOK_AGAIN)
            with self._lanes.in_flight.touching(previous):
                refusal = await self._move(previous, update.lane.key, turn, not_ours)
            if refusal is not None:
                return refusal
        return None

    async def _finished(self, update: ContactUpdate, previous: ContactKey) -> bool:
        now, number = self._clock.monotonic(), self._lag.number_of(previous)
        in_own_partition = number == update.events[0].record.partition
        waits = self._waits.setdefault(update.lane, {})
        if (wait := waits.get(previous)) is None:
            wait = waits[previous] = _Wait(now, _before(update, await self._lag.ends_of(number)))
        if now - wait.since > LONGEST_WAIT_S:
            log.warning("contact.moved_early", contact=contact_hash(update.lane.key), previous=contact_hash(previous))
            return True
        # Of the partitions that have the update itself, only the events before it can be finished; the others of the
        # previous key are in this worker's lanes.
        if in_own_partition and (now - wait.since < GRACE_S or self._lanes.has(previous)):
            return False
        if await self._lag.finished(wait.ends):
            return True
        if not wait.searched and (ends := await self._lag.ends_of_contact(previous, wait.ends)) is not None:
            wait = waits[previous] = _Wait(wait.since, ends, searched=True)
            return await self._lag.finished(wait.ends)
        return False

    async def _move(
        self, previous: ContactKey, key: ContactKey, turn: Turn, not_ours: Callable[[], object | None]
    ) -> RetryLater | Halt | None:
        known = await self._destination.known_contacts([previous, key], turn.slot)
        if isinstance(known, RetryLater | Halt):
            return known
        if known is None or isinstance(known, Rejected):
            return None
        contact, holder = known.get(previous), known.get(key)
        if contact is None or (holder is not None and holder.contact_id == contact.contact_id):
            return None
        move = {"contact": contact_hash(key), "previous": contact_hash(previous), "contact_id": contact.contact_id}
        if holder is not None:
            log.warning("contact.not_moved", **move, why="another contact has the new email: merge the two in HubSpot")
            return None
        return await self._give_email(contact.contact_id, key, move, turn, not_ours)

    async def _give_email(
        self,
        contact_id: str,
        key: ContactKey,
        move: Mapping[str, str],
        turn: Turn,
        not_ours: Callable[[], object | None],
    ) -> RetryLater | Halt | None:
        slot = await turn.slot()
        if not_ours() is not None:
            # The contact may have yet another email by now.
            slot.give_back()
            return UNSURE
        with slot:
            refusal = await self._destination.move(contact_id, key)
        if isinstance(refusal, Rejected):
            log.warning("contact.not_moved", **move, why=refusal.detail, correlation_id=refusal.correlation_id)
            return None
        if refusal is None:
            log.info("contact.moved", **move)
        return refusal


def _before(update: ContactUpdate, ends: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, int]:
    """Return *ends*, but none behind an event of *update*, which is not finished before it is written."""
    records = sorted((event.record for event in update.events), key=lambda record: record.offset, reverse=True)
    first = {TopicPartition(*record.topic_partition): record.offset for record in records}
    return {partition: min(end, first.get(partition, end)) for partition, end in ends.items()}


def previous_keys(update: ContactUpdate) -> Iterator[ContactKey]:
    """Yield the previous contact keys that the events of *update* name."""
    for envelope in update.envelopes:
        if isinstance(envelope.payload, MerchantContactUpdated) and envelope.payload.previous_email is not None:
            try:
                previous = contact_key(envelope.payload.previous_email)
            except ValueError:
                continue
            if previous != update.lane.key:
                yield previous
