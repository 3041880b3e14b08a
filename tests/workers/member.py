"""A member of a consumer group in the test's own process: the worker's reader, without lanes and HubSpot."""

import asyncio
from collections import Counter
from collections.abc import Collection

from hubspot_consumer.kafka.faust_worker import FaustWorker
from hubspot_consumer.kafka.gaps import Gaps
from hubspot_consumer.kafka.lag import Lag
from hubspot_consumer.kafka.lease import Lease
from hubspot_consumer.kafka.offsets import Offsets
from hubspot_consumer.kafka.positions import Gap, Positions
from hubspot_consumer.kafka.records import Partition, Record
from hubspot_consumer.settings import Settings
from runtime.clock import SystemClock
from runtime.health import Health


class Member:
    """Notes what it is assigned and what it is handed, and finishes each record at once while *finishes*.

    While `may_finish` is not set, it waits with the record that it has taken.
    """

    def __init__(self, settings: Settings) -> None:
        clock = SystemClock()
        self.assigned: set[Partition] = set()
        self.rebalances = 0
        self.taken: list[tuple[str, int, int]] = []
        self.finishes = True
        self.may_finish = asyncio.Event()
        self.may_finish.set()
        self.gaps: Counter[Gap] = Counter()
        self.lease, self.offsets, self.health = Lease(clock), Offsets(), Health()
        self.lag = Lag(settings.client_options(), settings.group, settings.topics.events)
        self.positions = Positions(clock, self._count)
        self.watch = Gaps(
            offsets=self.offsets,
            positions=self.positions,
            lag=self.lag,
            health=self.health,
            waited=lambda: False,
        )
        self.worker = FaustWorker(
            settings,
            settings.group,
            lease=self.lease,
            offsets=self.offsets,
            positions=self.positions,
            gaps=self.watch,
            take=self._take,
            revoked=self._revoked,
            dropped=self.offsets.forget,
            assigned=self._assigned,
        )

    async def start(self) -> None:
        await self.lag.start()
        await self.lag.require_topics()
        await self.worker.start()

    async def stop(self) -> None:
        await self.worker.stop()
        await self.lag.stop()

    async def look(self) -> None:
        """Read the lag and look for gaps, as the service does every five seconds."""
        await self.worker.heed_errors()
        await self.lag.read()
        await self.watch.look(self.worker)

    def _count(self, gap: Gap) -> None:
        self.gaps[gap] += 1

    async def _take(self, record: Record) -> None:
        finish = self.offsets.begin(record.topic_partition, record.offset)
        self.taken.append((record.topic, record.partition, record.offset))
        await self.may_finish.wait()
        if self.finishes:
            finish()

    async def _revoked(self) -> None:
        self.assigned.clear()

    async def _assigned(self, held: Collection[Partition]) -> None:
        self.rebalances += 1
        self.assigned = set(held)
