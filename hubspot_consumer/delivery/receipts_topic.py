"""The topic of receipts, written beside everything else: nothing waits for it, and memory is bounded."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TypeVar

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder

from hubspot_consumer.kafka.new_topic import TopicNotCreated
from hubspot_consumer.metrics import Telemetry
from runtime.clock import Clock
from runtime.logs import logger
from schemas.topics import EVENT_RETENTION_MS

log = logger()
Result = TypeVar("Result")

# More than a worker reads without finishing: while Kafka as a whole is away, none is dropped.
MOST_WAITING: Final = 20_000
# While receipts alone can't be written, acks go on without them.
ACK_WITHIN_S: Final = 5.0
RETRY_S: Final = 1.0
LATE_RECEIPTS_EVERY_S: Final = 0.5
MOST_BYTES_OF_A_BATCH: Final = 256 * 1024
CONFIG: Final = {"cleanup.policy": "delete", "retention.ms": str(EVENT_RETENTION_MS), "retention.bytes": "-1"}


@dataclass(eq=False, slots=True)
class _Waiting:
    """A receipt on its way, and what to call, once, when its event may be acked."""

    key: bytes
    value: bytes
    since: float
    let_go: Callable[[], None] | None

    def end(self) -> None:
        if self.let_go is not None:
            self.let_go()
            self.let_go = None


class ReceiptsTopic:
    """Sends what is `put` in batches, in order. *create* returns when the topic is there.

    What Kafka does not take is tried again; beyond a bound new ones are dropped, counted, and told of once.
    """

    def __init__(
        self,
        kafka: AIOKafkaProducer,
        topic: str,
        create: Callable[[], Awaitable[None]],
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._kafka = kafka
        self._topic: Final = topic
        self._create = create
        self._clock = clock
        self._telemetry = telemetry
        self._waiting: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._emptied = asyncio.Event()
        self._emptied.set()
        self._started = False
        self._there = False
        # So that an outage is told of once.
        self._failing = False
        self._dropping = False
        self.written = 0
        self.dropped = 0

    @property
    def waiting(self) -> int:
        """How many Kafka has not taken yet."""
        return len(self._waiting)

    def put(self, key: bytes, value: bytes, let_go: Callable[[], None]) -> None:
        """Take a receipt, and return at once; *let_go* is called, once, when it is on Kafka, given up, or late."""
        if len(self._waiting) >= MOST_WAITING:
            self._drop()
            let_go()
            return
        self._waiting.append(_Waiting(key, value, self._clock.monotonic(), let_go))
        self._emptied.clear()
        self._arrived.set()

    async def write(self) -> NoReturn:
        """Send what is put, until cancelled; waits out an outage of Kafka."""
        while True:
            await self._arrived.wait()
            together = await self._beside(self._send())
            if together is None:
                await self._beside(self._clock.sleep(RETRY_S))
                continue
            for _ in range(together):
                self._waiting.popleft().end()
            self.written += together
            self._telemetry.receipts.labels("written").inc(together)
            self._dropping = False
            if not self._waiting:
                self._arrived.clear()
                self._emptied.set()

    async def flush(self, seconds: float) -> None:
        """Return when nothing waits any more, or after *seconds*."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self._emptied.wait()

    async def stop(self) -> None:
        if self._started:
            await self._kafka.stop()

    async def _send(self) -> int | None:
        """Return how many of the first Kafka took, or None."""
        try:
            if not self._started:
                await self._kafka.start()
                self._started = True
            if not self._there:
                await self._create()
                self._there = True
            batch, together = self._batch()
            await (await self._kafka.send_batch(batch, self._topic, partition=0))
        except (KafkaError, OSError, TimeoutError, TopicNotCreated) as error:
            if not self._failing:
                log.warning("receipts.not_written", topic=self._topic, error=type(error).__name__)
            # It may have been deleted.
            self._failing, self._there = True, False
            return None
        if self._failing:
            log.info("receipts.written_again", topic=self._topic)
        self._failing = False
        return together

    def _batch(self) -> tuple[BatchBuilder, int]:
        batch, together = self._kafka.create_batch(), 0
        for receipt in self._waiting:
            if batch.append(timestamp=None, key=receipt.key, value=receipt.value) is None:
                break
            together += 1
        batch.close()
        return batch, together

    async def _beside(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Return what *work* returns; meanwhile, let go of the acks that were withheld for too long."""
        task = asyncio.create_task(work)
        try:
            while not task.done():
                await asyncio.wait([task], timeout=LATE_RECEIPTS_EVERY_S)
                self._let_go_of_the_late()
            return task.result()
        finally:
            task.cancel()

    def _let_go_of_the_late(self) -> None:
        since = self._clock.monotonic() - ACK_WITHIN_S
        for receipt in self._waiting:
            if receipt.since > since:
                break
            receipt.end()

    def _drop(self) -> None:
        if not self._dropping:
            log.error("receipts.dropped", topic=self._topic, waiting=len(self._waiting))
        self._dropping = True
        self.dropped += 1
        self._telemetry.receipts.labels("dropped").inc()
