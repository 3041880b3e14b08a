"""Answers to holds: this worker tells the run which partitions it takes nothing of the held contacts from.

The run writes when those who hold its contacts' partitions have answered. A partition may change hands at any moment.
So whoever is given one takes nothing before it knows all holds that were published before, and nobody answers for
partitions that may be somebody else's already.
"""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Final, NoReturn
from uuid import uuid4

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from hubspot_consumer.delivery.dispatcher import Dispatcher
from hubspot_consumer.holds.records import Held, encoded
from hubspot_consumer.holds.worker import HoldInForce, WorkerHolds
from hubspot_consumer.kafka.followed_topic import FollowedTopic
from hubspot_consumer.kafka.lease import LEASE_LOOK_EVERY_S, Lease
from runtime.clock import Clock
from runtime.logs import logger

log = logger()

TRY_AGAIN_S: Final = 1.0


class HoldAnswers:
    """Answers what *holds* finds in *followed*, and lets *delivery* take when it has caught up with that."""

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
        self._followed = followed
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
        """Answer for no partition any more."""
        self._rebalances += 1
        self._numbers = ()
        self._assigned.clear()

    def assigned(self, numbers: Collection[int]) -> None:
        """Answer for the partitions of these numbers; delivery goes on as soon as all present holds are known."""
        self._rebalances += 1
        self._numbers = tuple(sorted(numbers))
        self._holds.answer_anew()
        self._delivery.pause()
        self._assigned.set()

    async def start(self) -> None:
        """Return when all that is in the topic now is known. Raises KafkaError; may be called again then."""
        await self._followed.start()

    async def stop(self) -> None:
        await self._followed.stop()

    async def follow(self) -> None:
        """Take in what is added to the topic, until cancelled."""
        await self._followed.follow()

    async def catch_up(self) -> NoReturn:
        """Let delivery go on after each rebalance, when holds that were published before are in force."""
        while True:
            await self._assigned.wait()
            self._assigned.clear()
            rebalances = self._rebalances
            try:
                await self._followed.caught_up()
            except (KafkaError, OSError) as error:
                log.warning("holds.not_caught_up", error=type(error).__name__)
                await self._clock.sleep(TRY_AGAIN_S)
                if rebalances == self._rebalances:
                    self._assigned.set()
                continue
            if rebalances == self._rebalances:
                self._delivery.resume()

    async def answer(self) -> NoReturn:
        """Answer each hold as soon as nothing of its contacts is in a call, and end those that expire."""
        while True:
            self._holds.changed.clear()
            wait_s = self._holds.expire()
            if to_answer := self._holds.to_answer():
                # Whoever has our partitions by now may not know of the hold.
                if not self._lease.valid:
                    wait_s = LEASE_LOOK_EVERY_S
                elif not await self._answered(to_answer):
                    wait_s = TRY_AGAIN_S
            with suppress(TimeoutError):
                # Not `wait_for`: see delivery.
                async with asyncio.timeout(wait_s):
                    await self._holds.changed.wait()

    async def _answered(self, holds: Sequence[HoldInForce]) -> bool:
        """Return whether Kafka took all the answers."""
        for hold in holds:
            # What changes while it is sent has to be answered again.
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
        key, value = encoded(Held(run=hold.run, number=hold.number, worker=self._worker, partitions=numbers))
        await self._producer.send_and_wait(self._topic, key=key, value=value, partition=0)
        log.debug("hold.answered", run=hold.run, number=hold.number, partitions=len(numbers))
