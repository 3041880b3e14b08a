"""The life of the service: connect, check, read and deliver until the stop, and stop with few events to repeat."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TypeVar

from aiokafka.errors import KafkaError

from hubspot_consumer.kafka.partition_alignment import CROWD
from hubspot_consumer.worker.parts import Live, Parts
from hubspot_consumer.worker.status import Status
from runtime.clock import Clock
from runtime.journal import Journal
from runtime.kafka.admission import Admission, KafkaAway
from runtime.logs import logger

log = logger()
Answer = TypeVar("Answer")

CONNECT_AGAIN_S: Final = 2.0
READ_LAG_S: Final = 5.0
ALIGN_S: Final = 0.1
# A portal's tier and a token's scopes change rarely.
ASK_PORTAL_AGAIN_S: Final = 24 * 3600.0
# These limits keep a stop short: an event that is not acked by then is repeated. The timeouts of a call add up to 35 s.
FINISH_WITHIN_S: Final = 3.0
SETTLE_AT_STOP_S: Final = 4.0
FLUSH_AT_STOP_S: Final = 1.0
# Part of LEAVE_WITHIN_S that is reserved for the last commit and for leaving the group.
COMMIT_WITHIN_S: Final = 0.5
# Measured from the start of the drain. Without this limit, leaving the group would wait for Kafka while it is away.
LEAVE_WITHIN_S: Final = 5.0
CLOSE_WITHIN_S: Final = 0.5
BUSY_LOOK_EVERY_S: Final = 0.05


class ReadingEnded(RuntimeError):
    """Faust stopped reading by itself; a restart continues from what was acked."""


@dataclass(frozen=True)
class Service:
    """Runs the parts of a worker, from their connections to their end."""

    status: Status
    parts: Parts
    admission: Admission
    journal: Journal
    clock: Clock

    async def run(self, stop: asyncio.Event) -> None:
        """Run until *stop* is set, and commit what is acked. Raises any error after which the worker can't go on."""
        try:
            await _first_of(self._work(), self.journal(), self._told_to_stop(stop))
        finally:
            await self._stop()

    async def _told_to_stop(self, stop: asyncio.Event) -> None:
        """Return when *stop* is set, and then delivery is no longer busy or FINISH_WITHIN_S has passed."""
        await stop.wait()
        # An event that is finished after an unfinished one can't be acked, and a look-up may wait for seconds.
        self.parts.source.reading.end()
        give_up = self.clock.monotonic() + FINISH_WITHIN_S
        while self.parts.sink.delivery.busy and self.clock.monotonic() < give_up:
            await self.clock.sleep(BUSY_LOOK_EVERY_S)

    async def _work(self) -> None:
        self.status.health.ill("worker", "starting: connecting to Kafka")
        await self._connect()
        # A reprocessing run needs the answer of every member of the group, also of one that still waits for its portal.
        await _first_of(self._read_and_deliver(), *(_followers(self.parts.live) if self.parts.live else ()))

    async def _read_and_deliver(self) -> None:
        self.status.health.ill("worker", "starting: joining the consumer group")
        await self.parts.source.worker.start()
        # Before the first assignment, this worker has no part of the quota for calls to HubSpot.
        await self.parts.source.assignment.known.wait()
        self.status.health.well("kafka")
        self.status.health.well("worker")
        if self.parts.live is not None:
            self.status.health.ill("portal", "starting: asking HubSpot about its portal")
            await self.parts.live.portal.check()
            await self.parts.live.portal.choose(self.parts.sink.timeline)
            self.status.health.well("portal")
        await _first_of(
            self.parts.sink.delivery.run(),
            self.parts.sink.delivery.failed(),
            self._watch_lag(),
            self._keep_aligned(),
            self._watch_portal(),
            self.parts.gates.suppressions.follow(),
            self._raise_when_reading_ends(),
        )

    async def _connect(self) -> None:
        await self._at_last(self.admission.ask)
        # Each client is started only once, because aiokafka rejects a second start.
        await self._at_last(self.parts.sink.producer.start)
        await self._at_last(self.parts.source.lag.start)
        while missing := await self._at_last(self.parts.source.lag.missing_topics):
            self.status.health.ill("kafka", f"no such topic: {', '.join(missing)}: run `python -m producer topics`")
            await self.clock.sleep(CONNECT_AGAIN_S)
        await self._at_last(self.parts.gates.suppressions.start)
        if self.parts.live is not None:
            await self._at_last(self.parts.live.controls.start)
            await self._at_last(self.parts.live.hold_answers.start)

    async def _at_last(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """Repeat *ask* until Kafka answers; return the answer. Raises KafkaRefused if Kafka never granted access."""
        while True:
            try:
                return await ask()
            except KafkaAway as away:
                self.status.health.ill("kafka", str(away))
            except (KafkaError, OSError) as error:
                self.status.health.ill("kafka", await self.admission.why(error))
            await self.clock.sleep(CONNECT_AGAIN_S)

    async def _watch_lag(self) -> NoReturn:
        while True:
            await self.parts.source.worker.heed_errors()
            try:
                await self.parts.source.lag.read()
            except (KafkaError, OSError, TimeoutError) as error:
                self.parts.progress.cannot_tell()
                self.parts.source.gaps.cannot_tell()
                self.status.health.ill("kafka", await self.admission.why(error))
            else:
                self.status.health.well("kafka")
                self.parts.progress.look()
                await self.parts.source.gaps.look(self.parts.source.worker)
            await self.clock.sleep(READ_LAG_S)

    async def _keep_aligned(self) -> NoReturn:
        source = self.parts.source
        while True:
            source.worker.pause(source.alignment.ahead() if source.offsets.unfinished > CROWD else ())
            # `_watch_lag` reads the same ends, and reports when Kafka does not answer.
            with suppress(KafkaError, OSError, TimeoutError):
                await source.alignment.look()
            await self.clock.sleep(ALIGN_S)

    async def _watch_portal(self) -> NoReturn:
        while True:
            await self.clock.sleep(ASK_PORTAL_AGAIN_S)
            self.parts.gates.unwritable.try_again()
            if self.parts.live is not None:
                await self.parts.live.portal.choose(self.parts.sink.timeline)

    async def _raise_when_reading_ends(self) -> NoReturn:
        reason = await self.parts.source.worker.ended()
        raise ReadingEnded(f"Faust stopped: {reason!r}") from reason

    async def _stop(self) -> None:
        give_up = self.clock.monotonic() + LEAVE_WITHIN_S
        settled = await self.parts.sink.delivery.drain(SETTLE_AT_STOP_S)
        live = self.parts.live
        if live is not None and live.receipts is not None:
            # An event whose receipt is not written by then is not acked, and is repeated.
            within_s = min(FLUSH_AT_STOP_S, give_up - self.clock.monotonic() - COMMIT_WITHIN_S)
            await _first_of(live.receipts.flush(within_s), live.receipts.write())
        await _within(give_up - self.clock.monotonic(), self.parts.source.worker.stop())
        others = [self.parts.sink.producer.stop(), self.parts.source.lag.stop(), self.parts.gates.suppressions.stop()]
        if live is not None:
            others += [live.hold_answers.stop(), live.controls.stop()]
            others += [live.receipts.stop()] if live.receipts is not None else []
        await asyncio.gather(*(_within(CLOSE_WITHIN_S, closing) for closing in others))
        log.info("service.stopped", calls_ended=settled, events_to_repeat=self.parts.source.offsets.unfinished)


def _followers(live: Live) -> Iterable[Coroutine[Any, Any, object]]:
    yield live.hold_answers.follow()
    yield live.hold_answers.catch_up()
    yield live.hold_answers.answer()
    yield live.controls.follow()
    if live.receipts is not None:
        yield live.receipts.write()


async def _within(seconds: float, ending: Coroutine[Any, Any, object]) -> None:
    task = asyncio.create_task(ending)
    # `wait_for` would not end: Faust takes its cancellation for the end of another task, and goes on.
    await asyncio.wait([task], timeout=seconds)
    if not task.done():
        task.cancel()
        log.warning("service.not_closed", error=TimeoutError.__name__)
        return
    try:
        task.result()
    except (TimeoutError, KafkaError, OSError) as error:
        log.warning("service.not_closed", error=type(error).__name__)


async def _first_of(*works: Coroutine[Any, Any, object]) -> None:
    """Run all until one ends, cancel the others, and raise the exception of the first, if any."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
