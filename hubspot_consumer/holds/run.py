"""The run's side of holds: it keeps the workers from writing the contacts that a reprocessing run is about to write.

HubSpot has no conditional write, so of two writers of a contact one has to wait: see hubspot_consumer/holds/worker.py.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from typing import Final, NoReturn

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from hubspot_consumer.holds.hold import Coverage, Hold, HoldListener, OtherRun, TakenOver
from hubspot_consumer.holds.records import (
    FOR_S,
    STALE,
    TRY_AGAIN_S,
    HoldBegun,
    HoldRecord,
    Released,
    RunEnded,
    encoded,
)
from hubspot_consumer.kafka.followed_topic import FollowedTopic
from hubspot_consumer.kafka.group import describe_group
from hubspot_consumer.kafka.lag import Lag
from runtime.clock import Clock
from runtime.endings import CannotGoOn
from runtime.kafka.connection import KafkaConnection
from runtime.kafka.topic_writer import TopicWriter
from runtime.logs import log
from schemas.contacts import ContactKey
from schemas.times import moment_of

RENEW_S: Final = 20.0
REQUEST_WITHIN_MS: Final = 5_000
CLOSE_WITHIN_S: Final = 10.0
# Gap in the hold numbers after a takeover: a stopped process that wakes up does not reuse the numbers of its successor.
NUMBERS_LEFT_OUT: Final = 1_000


class AnotherRun(CannotGoOn):
    """Another reprocessing run is active: two runs could overwrite each other's contacts with older values."""

    def __init__(self, other: OtherRun) -> None:
        heard_at = moment_of(other.heard_at_s)
        super().__init__(
            f"another run is active: {other.command}, last heard at {heard_at:%H:%M:%S} UTC. Wait for its end; "
            f"if it was killed, it counts as ended {other.for_s:g} s after that"
        )


class RunHolds:
    """One run's holds. *waits* is called every few seconds with the reason why a hold is not entered yet."""

    def __init__(  # noqa: PLR0913, PLR0917 - they identify the run and its Kafka cluster
        self,
        kafka: KafkaConnection,
        group: str,
        run: str,
        command: str,
        quota_share: float,
        clock: Clock,
        waits: Callable[[str], object] = lambda _: None,
    ) -> None:
        options, topics = kafka.client_options(), kafka.topics
        self._run: Final = run
        self._command: Final = command
        self._quota_share: Final = quota_share
        self._clock = clock
        self._listener = HoldListener(run)
        self._followed = FollowedTopic(
            options, topics.holds, clock, self._listener.take_in, look_again_s=TRY_AGAIN_S, newest=STALE
        )
        self._writer: Final = TopicWriter(kafka, topics.holds)
        self._lag = Lag(options, group, topics.events)
        self._admin: Final = AIOKafkaAdminClient(**options, request_timeout_ms=REQUEST_WITHIN_MS)
        self._coverage = Coverage(self._listener, lambda: describe_group(self._admin, group), clock, waits)
        self._numbers = itertools.count(1)
        self._announced_at = 0.0
        self._tasks: list[asyncio.Task[NoReturn]] = []
        self._ours = False

    async def start(self) -> None:
        """Return when this is the only active run, and all workers have lent it its share of the quota.

        If an earlier process of the same run was killed, this one takes over. Raises AnotherRun, KafkaError,
        TopicsNotReady and TopicsMissing.
        """
        try:
            await self._writer.start()
            await self._lag.start()
            await self._lag.require_topics()
            await self._admin.start()
            await self._followed.start()
            self._ours = True
            if self._listener.was_active:
                await self._send(RunEnded(run=self._run))
            self._numbers = itertools.count(self._listener.highest_number + NUMBERS_LEFT_OUT)
            self._tasks.append(asyncio.create_task(self._followed.follow()))
            await self._announce()
            self._tasks.append(asyncio.create_task(self._renew()))
            # All workers have to answer this hold, so it covers every partition number, and no contact.
            numbers = {partition.partition for partition in self._lag.partitions}
            await self._release(await self._entered(frozenset(), numbers))
        except BaseException:
            await self.stop()
            raise

    @asynccontextmanager
    async def hold(self, keys: Collection[ContactKey]) -> AsyncIterator[Hold]:
        """Enter when no worker writes these contacts any more; none does until the context or the hold's time ends.

        At the end of the context, the contacts that were `written` are published to the workers. Raises KafkaError,
        TakenOver, and AnotherRun if this run was silent for so long that another one began.
        """
        hold = await self._entered(frozenset(keys), {self._lag.number_of(key) for key in keys})
        try:
            yield hold
        finally:
            await self._release(hold)

    async def stop(self) -> None:
        """End the run: all holds are released, and the workers use the whole quota again."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._ours and not self._listener.taken_over:
            try:
                await self._send(RunEnded(run=self._run))
            except (KafkaError, OSError) as error:
                log.warning("holding.not_ended", error=type(error).__name__, ends_by_itself_in_s=FOR_S)
        self._ours = False
        for close in (self._writer.stop, self._followed.stop, self._lag.stop, self._admin.close):
            with suppress(KafkaError, OSError, TimeoutError):
                await asyncio.wait_for(close(), CLOSE_WITHIN_S)

    async def _announce(self) -> None:
        number = next(self._numbers)
        self._listener.announce(number)
        await self._send(self._begun(number, frozenset()))
        await self._followed.caught_up()
        if (other := self._listener.other_run) is not None:
            raise AnotherRun(other)

    async def _entered(self, keys: frozenset[ContactKey], partitions: Collection[int]) -> Hold:
        while True:
            hold = Hold(next(self._numbers), keys, partitions, self._listener, self._clock)
            entered = False
            try:
                self._listener.listen(hold)
                await self._send(self._begun(hold.number, keys))
                if entered := await self._coverage.complete(hold):
                    return hold
            finally:
                self._listener.forget(hold)
                if not entered:
                    await self._release(hold)

    async def _release(self, hold: Hold) -> None:
        await self._send(Released(run=self._run, number=hold.number, written=hold.outcome, touched=hold.touched))

    async def _renew(self) -> NoReturn:
        """Announce the run again when no hold has done so for RENEW_S seconds."""
        while True:
            await self._clock.sleep(max(0.0, self._announced_at + RENEW_S - self._clock.monotonic()))
            if self._clock.monotonic() < self._announced_at + RENEW_S:
                continue
            try:
                await self._send(self._begun(next(self._numbers), frozenset()))
            except (KafkaError, OSError) as error:
                log.warning("holding.not_renewed", error=type(error).__name__)
                await self._clock.sleep(TRY_AGAIN_S)

    async def _send(self, record: HoldRecord) -> None:
        if self._listener.taken_over:
            raise TakenOver
        if isinstance(record, HoldBegun) and (other := self._listener.superseded_by) is not None:
            raise AnotherRun(other)
        sent_at = self._clock.monotonic()
        key, value = encoded(record)
        await self._writer.write(key, value)
        if isinstance(record, HoldBegun):
            self._announced_at = max(self._announced_at, sent_at)

    def _begun(self, number: int, keys: frozenset[ContactKey]) -> HoldBegun:
        return HoldBegun(
            run=self._run,
            number=number,
            command=self._command,
            contacts=tuple(sorted(keys)),
            quota_share=self._quota_share,
        )
