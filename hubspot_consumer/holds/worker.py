"""The worker's side of holds: it delivers nothing of the contacts that a reprocessing run is about to write.

HubSpot has no conditional write, so one of two writers of a contact could overwrite newer values. So one of them waits.

The run writes once the workers that are assigned its contacts' partitions have answered. A partition may be reassigned
at any moment. So a newly assigned worker delivers nothing before it has read all earlier holds, and a worker answers
only while its lease is valid, because its partitions may have been reassigned after that.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn, assert_never
from uuid import uuid4

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from hubspot_consumer.delivery.dispatcher import Dispatcher
from hubspot_consumer.holds.records import (
    TRY_AGAIN_S,
    HoldAnswered,
    HoldBegun,
    Released,
    RunEnded,
    Written,
    encoded,
    read_hold_record,
)
from hubspot_consumer.hubspot.rate_limiter import RateLimiter
from hubspot_consumer.kafka.followed_topic import FollowedTopic
from hubspot_consumer.kafka.lease import LEASE_LOOK_EVERY_S, Lease
from hubspot_consumer.ordering.lanes import Lanes
from runtime.clock import Clock, set_within
from runtime.logs import log
from schemas.contacts import ContactKey

# Runs hold at most some hundred contacts at a time. The limits keep the memory bounded, whatever is on the topic.
MOST_HELD: Final = 20_000
MOST_RUNS: Final = 100


@dataclass(eq=False)
class HoldInForce:
    """A hold, when it expires on the monotonic clock, and whether this worker answered it after the last rebalance."""

    run: str
    number: int
    command: str
    quota_share: float
    contacts: frozenset[ContactKey]
    until: float
    answered: bool = False


class WorkerHolds:
    """The holds in force, built from the topic's records; *changed* is set when there may be one to answer."""

    def __init__(self, lanes: Lanes, delivery: Dispatcher, rate_limiter: RateLimiter, clock: Clock) -> None:
        self._lanes = lanes
        self._delivery = delivery
        self._rate_limiter = rate_limiter
        self._clock = clock
        self._in_force: dict[tuple[str, int], HoldInForce] = {}
        # The newest hold of each active run, which says until when the run is active.
        self._runs: dict[str, HoldInForce] = {}
        self.changed: Final = asyncio.Event()
        lanes.in_flight.came_back = self._came_back

    def take_in(self, record: Any) -> bool:
        """Process one of aiokafka's records. Return whether it can be read and is within the limits."""
        match entry := read_hold_record(record.value):
            case HoldBegun():
                return self._begin(entry)
            case Released():
                self._end(entry.run, entry.number, entry.written, how="released", touched=entry.touched)
            case RunEnded():
                self._end_run(entry.run)
            case HoldAnswered():
                pass
            case None:
                return False
            case _:
                assert_never(entry)
        return True

    def expire(self) -> float | None:
        """End holds and runs that were not renewed in time; return the seconds to the next expiry, or None."""
        now = self._clock.monotonic()
        for hold in [hold for hold in self._in_force.values() if hold.until <= now]:
            self._end(hold.run, hold.number, None, how="expired")
        for name in [name for name, run in self._runs.items() if run.until <= now]:
            log.warning("reprocessing.not_heard_of", run=name, command=self._runs.pop(name).command)
            self._lend()
        ends = [*(hold.until for hold in self._in_force.values()), *(run.until for run in self._runs.values())]
        return min(ends) - now if ends else None

    def to_answer(self) -> list[HoldInForce]:
        """Return the unanswered holds that have no contact in a call."""
        in_flight = self._lanes.in_flight
        return [
            hold
            for hold in self._in_force.values()
            if not hold.answered and not any(key in in_flight for key in hold.contacts)
        ]

    def answer_anew(self) -> None:
        """Mark all holds as unanswered."""
        for hold in self._in_force.values():
            hold.answered = False
        self.changed.set()

    def report(self) -> dict[str, Any] | None:
        """Return the active run and the number of held contacts, as JSON; None without an active run."""
        if not self._runs:
            return None
        # Of several runs, the one with the largest share is reported: that share is lent.
        name, run = max(self._runs.items(), key=lambda each: each[1].quota_share)
        contacts = len({key for hold in self._in_force.values() for key in hold.contacts})
        return {"run": name, "command": run.command, "quota_share": run.quota_share, "contacts_held": contacts}

    def _begin(self, begun: HoldBegun) -> bool:
        held = sum(len(hold.contacts) for hold in self._in_force.values())
        runs = self._runs.keys() | {begun.run}
        if held + len(begun.contacts) > MOST_HELD or len(self._in_force) >= MOST_HELD or len(runs) > MOST_RUNS:
            return False
        contacts, until = frozenset(begun.contacts), self._clock.monotonic() + begun.for_s
        hold = HoldInForce(begun.run, begun.number, begun.command, begun.quota_share, contacts, until)
        if hold.run not in self._runs:
            log.info("reprocessing.begun", run=hold.run, command=hold.command, quota_share=hold.quota_share)
        self._runs[hold.run] = hold
        self._lend()
        if (hold.run, hold.number) not in self._in_force:
            self._in_force[hold.run, hold.number] = hold
            self._lanes.hold(contacts)
            log.debug("hold.begun", run=hold.run, number=hold.number, contacts=len(contacts))
        self.changed.set()
        return True

    def _end(
        self, run: str, number: int, written: Mapping[ContactKey, Written] | None, *, how: str, touched: bool = True
    ) -> None:
        """Release a hold; *written* is None if it is not known what the run wrote."""
        if (hold := self._in_force.pop((run, number), None)) is None:
            return
        for key in hold.contacts:
            if (one := (written or {}).get(key)) is not None:
                self._lanes.written(key, one.sequence, one.contact_id)
            elif touched:
                # A call without an answer may have written the contact.
                self._lanes.maybe_written(key)
            self._lanes.release(key)
        fields = {"run": run, "number": number, "contacts": len(hold.contacts)}
        if written is not None or not hold.contacts:
            log.debug("hold.released", **fields, written=len(written or ()))
        else:
            log.warning("hold.ended", **fields, how=how)
        self._delivery.notify()

    def _end_run(self, name: str) -> None:
        for hold in [hold for hold in self._in_force.values() if hold.run == name]:
            self._end(hold.run, hold.number, None, how="run ended")
        if (run := self._runs.pop(name, None)) is not None:
            log.info("reprocessing.ended", run=name, command=run.command)
        self._lend()

    def _lend(self) -> None:
        self._rate_limiter.lend(max((run.quota_share for run in self._runs.values()), default=0.0))

    def _came_back(self, key: ContactKey) -> None:
        if self._lanes.is_held(key):
            self.changed.set()


class HoldAnswers:
    """Answers the holds that *followed* delivers to *holds*, and resumes *delivery* once those are in force."""

    def __init__(  # noqa: PLR0913 - the composition root wires each of them by name
        self,
        *,
        holds: WorkerHolds,
        followed: FollowedTopic,
        topic: str,
        producer: AIOKafkaProducer,
        delivery: Dispatcher,
        lease: Lease,
        clock: Clock,
    ) -> None:
        self._holds = holds
        self.followed: Final = followed
        self._topic: Final = topic
        self._producer = producer
        self._delivery = delivery
        self._lease = lease
        self._clock = clock
        self._worker: Final = uuid4().hex[:12]
        self._numbers: tuple[int, ...] = ()
        self._assigned = asyncio.Event()
        self._rebalances = 0

    def revoked(self) -> None:
        """Answer for no partition from now on."""
        self._rebalances += 1
        self._numbers = ()
        self._assigned.clear()

    def assigned(self, numbers: Collection[int]) -> None:
        """Answer for the partitions of these numbers; delivery is paused until all present holds have been read."""
        self._rebalances += 1
        self._numbers = tuple(sorted(numbers))
        self._holds.answer_anew()
        self._delivery.pause()
        self._assigned.set()

    async def catch_up(self) -> NoReturn:
        """Resume delivery after each rebalance, once all holds that were published before are in force."""
        while True:
            await self._assigned.wait()
            self._assigned.clear()
            rebalances = self._rebalances
            try:
                await self.followed.caught_up()
            except (KafkaError, OSError) as error:
                log.warning("holds.not_caught_up", error=type(error).__name__)
                await self._clock.sleep(TRY_AGAIN_S)
                if rebalances == self._rebalances:
                    self._assigned.set()
                continue
            if rebalances == self._rebalances:
                self._delivery.resume()

    async def answer(self) -> NoReturn:
        """Answer each hold as soon as none of its contacts is in a call, and end holds that expire."""
        while True:
            self._holds.changed.clear()
            wait_s = self._holds.expire()
            if to_answer := self._holds.to_answer():
                # Without a lease, another worker may have our partitions, and may not have read the hold.
                if not self._lease.valid:
                    wait_s = LEASE_LOOK_EVERY_S
                elif not await self._answered(to_answer):
                    wait_s = TRY_AGAIN_S
            await set_within(self._holds.changed, wait_s)

    async def _answered(self, holds: Sequence[HoldInForce]) -> bool:
        """Return whether Kafka has acknowledged all the answers."""
        for hold in holds:
            # Set before sending: a rebalance during the sending resets it, so that the hold is answered again.
            hold.answered = True
        try:
            await asyncio.gather(*(self._send(hold, self._numbers) for hold in holds))
        except (KafkaError, OSError) as error:
            log.warning("hold.not_answered", holds=len(holds), error=type(error).__name__)
            for hold in holds:
                hold.answered = False
            return False
        return True

    async def _send(self, hold: HoldInForce, numbers: tuple[int, ...]) -> None:
        key, value = encoded(HoldAnswered(run=hold.run, number=hold.number, worker=self._worker, partitions=numbers))
        await self._producer.send_and_wait(self._topic, key=key, value=value, partition=0)
        log.debug("hold.answered", run=hold.run, number=hold.number, partitions=len(numbers))
