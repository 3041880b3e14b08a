"""The topic of receipts, written in the background: delivery does not wait for it, and its memory is bounded."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TypeVar

from aiokafka.errors import KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder

from hubspot_consumer.metrics import Telemetry
from runtime.clock import Clock
from runtime.kafka.new_topics import TopicsNotReady
from runtime.kafka.topic_writer import TopicWriter
from runtime.logs import logger

log = logger()
Result = TypeVar("Result")

# The limit is above `MOST_UNFINISHED` of `worker/consumer.py`, so no receipt is dropped while all of Kafka is away.
MOST_WAITING: Final = 20_000
# Acks wait no longer than this, and go on without receipts while only these can't be written.
ACK_WITHIN_S: Final = 5.0
RETRY_S: Final = 1.0
LATE_RECEIPTS_EVERY_S: Final = 0.5
MOST_BYTES_OF_A_BATCH: Final = 256 * 1024


@dataclass(eq=False, slots=True)
class _Waiting:
    """A receipt that Kafka has not taken, and the callback that releases its event's ack, or None once called."""

    key: bytes
    value: bytes
    since: float
    let_go: Callable[[], None] | None

    def end(self) -> None:
        if self.let_go is not None:
            self.let_go()
            self.let_go = None


class ReceiptsTopic:
    """Sends receipts in batches, in the order in which they were `put`.

    Receipts that Kafka does not take are sent again. Beyond `MOST_WAITING`, new receipts are dropped and counted, and
    an error is logged once per outage.
    """

    def __init__(self, writer: TopicWriter, clock: Clock, telemetry: Telemetry) -> None:
        self._writer = writer
        self._clock = clock
        self._telemetry = telemetry
        self._waiting: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._emptied = asyncio.Event()
        self._emptied.set()
        # These flags let an outage be logged once.
        self._failing = False
        self._dropping = False
        self.written = 0
        self.dropped = 0

    @property
    def waiting(self) -> int:
        """How many receipts Kafka has not taken yet."""
        return len(self._waiting)

    def put(self, key: bytes, value: bytes, let_go: Callable[[], None]) -> None:
        """Queue a receipt; *let_go* is called once, when it is in Kafka, dropped, or older than ACK_WITHIN_S."""
        if len(self._waiting) >= MOST_WAITING:
            self._drop()
            let_go()
            return
        self._waiting.append(_Waiting(key, value, self._clock.monotonic(), let_go))
        self._emptied.clear()
        self._arrived.set()

    async def write(self) -> NoReturn:
        """Send the queued receipts, until cancelled; an outage of Kafka is waited out."""
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
        """Return when no receipt waits, or after *seconds*."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self._emptied.wait()

    async def stop(self) -> None:
        await self._writer.stop()

    async def _send(self) -> int | None:
        """Send a batch of the oldest receipts; return how many Kafka took, or None after an error."""
        try:
            batch = await self._writer.batch()
            together = self._fill(batch)
            await self._writer.write_batch(batch)
        except (KafkaError, OSError, TimeoutError, TopicsNotReady) as error:
            if not self._failing:
                log.warning("receipts.not_written", topic=self._writer.topic, error=type(error).__name__)
            self._failing = True
            self._writer.look_again()
            return None
        if self._failing:
            log.info("receipts.written_again", topic=self._writer.topic)
        self._failing = False
        return together

    def _fill(self, batch: BatchBuilder) -> int:
        """Fill a batch with the oldest receipts, and return how many it has."""
        together = 0
        for receipt in self._waiting:
            if batch.append(timestamp=None, key=receipt.key, value=receipt.value) is None:
                break
            together += 1
        batch.close()
        return together

    async def _beside(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Return the result of *work*; meanwhile, release the acks that were deferred for longer than ACK_WITHIN_S."""
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
            log.error("receipts.dropped", topic=self._writer.topic, waiting=len(self._waiting))
        self._dropping = True
        self.dropped += 1
        self._telemetry.receipts.labels("dropped").inc()
