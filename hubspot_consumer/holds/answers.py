"""Answers to holds: a worker publishes the assigned partitions from which it delivers nothing of the held contacts.

The run writes once the workers that are assigned its contacts' partitions have answered. A partition may be reassigned
at any moment. So a newly assigned worker delivers nothing before it has read all earlier holds, and a worker answers
only while its lease is valid, because its partitions may have been reassigned after that.
"""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Final, NoReturn
from uuid import uuid4

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from hubspot_consumer.delivery.dispatcher import Dispatcher
from hubspot_consumer.holds.records import TRY_AGAIN_S, HoldAnswered, encoded
from hubspot_consumer.holds.worker import HoldInForce, WorkerHolds
from hubspot_consumer.kafka.followed_topic import FollowedTopic
from hubspot_consumer.kafka.lease import LEASE_LOOK_EVERY_S, Lease
from runtime.clock import Clock
from runtime.logs import logger

log = logger()


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
            with suppress(TimeoutError):
                # Not `wait_for`, which in Python 3.11 can lose a cancellation: see delivery/dispatcher.py.
                async with asyncio.timeout(wait_s):
                    await self._holds.changed.wait()

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
