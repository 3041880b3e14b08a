"""The life of the service: connect, check, read and deliver until the stop, and stop with few events to repeat."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, Final, NoReturn, TypeVar

from aiokafka.errors import KafkaError

from hubspot_consumer.delivery.resyncs import Resync
from hubspot_consumer.kafka.partition_alignment import CROWD
from hubspot_consumer.metrics import Telemetry
from hubspot_consumer.settings import Settings
from hubspot_consumer.worker.status import Status
from hubspot_consumer.worker.wiring import Parts
from runtime.clock import Clock
from runtime.journal import Journal, keep_journal
from runtime.kafka.admission import Admission, KafkaAway
from runtime.kafka.further_tries import NO_ANSWER, asked_again
from runtime.logs import log

Answer = TypeVar("Answer")

CONNECT_AGAIN_S: Final = 2.0
READ_LAG_S: Final = 5.0
ALIGN_S: Final = 0.1
# A portal's tier and a token's scopes change rarely, but nobody tells when.
ASK_PORTAL_AGAIN_S: Final = 3600.0
# A single refusal may have another cause than the tier or the scopes.
ASK_IN_DOUBT_S: Final = 300.0
# These limits keep a stop short: an event that is not acked by then is repeated. The timeouts of a call add up to 35 s.
FINISH_WITHIN_S: Final = 3.0
DRAIN_AT_STOP_S: Final = 4.0
FLUSH_AT_STOP_S: Final = 1.0
# Part of LEAVE_WITHIN_S that is reserved for the last commit and for leaving the group.
COMMIT_WITHIN_S: Final = 0.5
# Measured from the start of the drain. Without this limit, leaving the group would wait for Kafka while it is away.
LEAVE_WITHIN_S: Final = 5.0
CLOSE_WITHIN_S: Final = 0.5
BUSY_LOOK_EVERY_S: Final = 0.05


class ReadingEnded(RuntimeError):
    """Faust stopped reading by itself; a restart continues from what was acked."""


class Service:
    """A worker, live or a dry run by *settings*. It connects to nothing before it runs.

    *resync* writes contacts from the topics, as a run of its own.
    """

    def __init__(self, settings: Settings, telemetry: Telemetry, resync: Resync) -> None:
        self._parts: Final = Parts(settings, telemetry, resync)
        core = self._parts.core
        self.status: Final = Status(settings.mode, core.health, settings.in_force(), self._parts)
        self._admission: Final = Admission(core.kafka)
        self._journal: Final = _journal(self.status, telemetry, core.clock)
        self._health = core.health
        self._clock = core.clock

    async def run(self, stop: asyncio.Event) -> None:
        """Run until *stop* is set, and commit what is acked. Raises any error after which the worker can't go on."""
        try:
            await _first_of(self._work(), self._journal(), self._until_stopped(stop))
        finally:
            await self._stop()

    async def _until_stopped(self, stop: asyncio.Event) -> None:
        """Return when *stop* is set, and then delivery is no longer busy or FINISH_WITHIN_S has passed."""
        await stop.wait()
        # An event that is finished after an unfinished one can't be acked, and a look-up may wait for seconds.
        self._parts.source.reading.end()
        give_up = self._clock.monotonic() + FINISH_WITHIN_S
        while self._parts.sink.delivery.busy and self._clock.monotonic() < give_up:
            await self._clock.sleep(BUSY_LOOK_EVERY_S)

    async def _work(self) -> None:
        self._health.ill("worker", "starting: connecting to Kafka")
        await self._connect()
        # A reprocessing run needs the answer of every member of the group, also of one that still waits for its portal.
        await _first_of(self._read_and_deliver(), *self._followers())

    async def _join(self) -> None:
        await self._parts.source.worker.start()
        # Before the first assignment, this worker has no part of the quota for calls to HubSpot.
        await self._parts.source.assignment.known.wait()

    async def _tell_why_not_joined(self) -> NoReturn:
        while True:
            await self._clock.sleep(READ_LAG_S)
            if (error := await self._parts.source.worker.heed_errors()) is not None:
                self._health.ill("worker", await self._parts.core.lag.why_not_joined(error))

    def _followers(self) -> Iterable[Coroutine[Any, Any, object]]:
        # Contacts may be suppressed while this worker still waits for its portal.
        yield self._parts.core.suppressions.follow()
        if (live := self._parts.live) is not None:
            yield live.hold_answers.followed.follow()
            yield live.hold_answers.catch_up()
            yield live.hold_answers.answer()
            yield live.controls.follow()
        if (receipts := self._parts.core.receipts_topic) is not None:
            yield receipts.write()
            yield receipts.release_late()

    async def _read_and_deliver(self) -> None:
        self._health.ill("worker", "starting: joining the consumer group")
        await _first_of(self._join(), self._tell_why_not_joined())
        self._health.well("worker")
        if self._parts.live is not None:
            self._health.ill("portal", "starting: asking HubSpot about its portal")
            await self._parts.live.portal.check()
            await self._parts.live.portal.choose(self._parts.sink.timeline)
            self._health.well("portal")
        await _first_of(
            self._parts.sink.delivery.run(),
            self._parts.sink.delivery.failed(),
            self._parts.sink.resyncs.run(),
            self._watch_lag(),
            self._keep_aligned(),
            self._watch_portal(),
            self._raise_when_reading_ends(),
        )

    async def _connect(self) -> None:
        await self._at_last(self._admission.ask)
        # Each client is started only once, because aiokafka rejects a second start.
        await self._at_last(self._parts.core.producer.start)
        await self._at_last(self._parts.core.lag.start)
        while fault := await self._at_last(self._parts.core.lag.fault_of_topics):
            self._health.ill("topics", fault)
            await self._clock.sleep(CONNECT_AGAIN_S)
        self._health.well("topics")
        await self._at_last(self._tell_forgotten)
        await self._at_last(self._parts.core.suppressions.start)
        if self._parts.live is not None:
            await self._at_last(self._parts.live.controls.start)
            await self._at_last(self._parts.live.hold_answers.followed.start)

    async def _tell_forgotten(self) -> None:
        # Kafka loses offsets only of a group without members, so it is enough to look before this worker joins.
        core = self._parts.core
        receipts = core.settings.topics.deliveries if core.settings.mode == "live" else None
        if forgotten := await core.lag.forgotten(receipts):
            first = f"{forgotten[0].topic}-{forgotten[0].partition}"
            log.warning(
                "reading.offsets_forgotten", partitions=len(forgotten), of=len(core.lag.partitions), first=first
            )
            core.telemetry.gap("forgotten")

    async def _at_last(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """Repeat *ask* until Kafka answers; return the answer. Raises KafkaRefused if Kafka never granted access."""
        while True:
            try:
                answer = await ask()
            except KafkaAway as away:
                self._health.ill("kafka", str(away))
            except (KafkaError, OSError) as error:
                self._health.ill("kafka", await self._admission.why(error))
            else:
                self._health.well("kafka")
                return answer
            await self._clock.sleep(CONNECT_AGAIN_S)

    async def _watch_lag(self) -> NoReturn:
        while True:
            await self._parts.source.worker.heed_errors()
            try:
                await asked_again(self._look_at_topics, self._clock)
                await asked_again(self._parts.core.lag.read, self._clock)
            except NO_ANSWER as error:
                self._parts.progress.cannot_tell()
                self._parts.source.gaps.cannot_tell()
                self._health.ill("kafka", await self._admission.why(error))
            else:
                self._health.well("kafka")
                self._parts.progress.look()
                await self._parts.source.gaps.look(self._parts.source.worker)
            await self._clock.sleep(READ_LAG_S)

    async def _look_at_topics(self) -> None:
        if fault := await self._parts.core.lag.fault_of_topics():
            self._health.ill("topics", fault)
            return
        self._health.well("topics")
        self._parts.source.assignment.divide_quota()
        await self._parts.source.worker.look_for_partitions()

    async def _keep_aligned(self) -> NoReturn:
        core, worker = self._parts.core, self._parts.source.worker
        while True:
            worker.pause(core.alignment.ahead() if core.offsets.unfinished > CROWD else ())
            # `_watch_lag` reads the same ends, and reports when Kafka does not answer.
            with suppress(KafkaError, OSError, TimeoutError):
                await core.alignment.look()
            await self._clock.sleep(ALIGN_S)

    async def _watch_portal(self) -> NoReturn:
        timeline, asked_at = self._parts.sink.timeline, self._clock.monotonic()
        while True:
            await self._clock.sleep(ASK_IN_DOUBT_S)
            due = self._clock.monotonic() - asked_at >= ASK_PORTAL_AGAIN_S
            if due:
                asked_at = self._clock.monotonic()
                self._parts.core.unwritable.try_again()
            if self._parts.live is not None and (due or timeline.in_doubt):
                await self._parts.live.portal.choose(timeline)

    async def _raise_when_reading_ends(self) -> NoReturn:
        reason = await self._parts.source.worker.ended()
        raise ReadingEnded(f"Faust stopped: {reason!r}") from reason

    async def _stop(self) -> None:
        give_up = self._clock.monotonic() + LEAVE_WITHIN_S
        _, ended = await asyncio.gather(
            self._parts.sink.resyncs.stop(DRAIN_AT_STOP_S), self._parts.sink.delivery.drain(DRAIN_AT_STOP_S)
        )
        live, receipts = self._parts.live, self._parts.core.receipts_topic
        if receipts is not None:
            # An event whose receipt is not written by then is not acked, and is repeated.
            within_s = min(FLUSH_AT_STOP_S, give_up - self._clock.monotonic() - COMMIT_WITHIN_S)
            await _first_of(receipts.flush(within_s), receipts.write(), receipts.release_late())
        await _within(give_up - self._clock.monotonic(), self._parts.source.worker.stop())
        others = [self._parts.core.producer.stop(), self._parts.core.lag.stop(), self._parts.core.suppressions.stop()]
        if live is not None:
            others += [live.hold_answers.followed.stop(), live.controls.stop()]
            others += [receipts.stop()] if receipts is not None else []
        await asyncio.gather(*(_within(CLOSE_WITHIN_S, closing) for closing in others))
        log.info("service.stopped", calls_ended=ended, events_to_repeat=self._parts.core.offsets.unfinished)


def _journal(status: Status, telemetry: Telemetry, clock: Clock) -> Journal:
    """Return the journal, which logs the worker's counters and status once a minute."""
    counters = {
        "read": telemetry.read,
        "delivered": telemetry.events_delivered,
        "dead_letters": telemetry.dead_letters,
        "calls": telemetry.calls,
    }
    return partial(keep_journal, partial(log.info, "worker.progress"), counters, status.in_a_line, clock)


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
