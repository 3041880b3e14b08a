"""The model of aiokafka's consumer, as far as the product uses it."""

import asyncio
from collections.abc import Collection, Mapping
from types import SimpleNamespace
from typing import Any, Final
from zlib import crc32

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from tests.simulation.kafka.broker import OutOfRange, StoredRecord
from tests.simulation.kafka.client import Client

# aiokafka asks each leader by itself, and now and then has the answers of some only.
LEADERS: Final = 3
SHARE_WITHOUT_A_LEADER: Final = 0.1


class Consumer(Client):
    """AIOKafkaConsumer without a group: it reads the partitions that are assigned by hand."""

    def __init__(self, *, auto_offset_reset: str = "earliest", **options: Any) -> None:
        super().__init__(**options)
        self._resets: Final = auto_offset_reset == "earliest"
        self._positions: dict[TopicPartition, int] = {}
        self._assigned: set[TopicPartition] = set()
        # The request that is under way, and the positions it asks for.
        self._fetching: asyncio.Task[Any] | None = None
        self._asked: dict[TopicPartition, int] = {}
        # The product tells aiokafka's client of new topics, which here are all known.
        self._client: Final = SimpleNamespace(add_topic=lambda _topic: None)

    async def stop(self) -> None:
        self._stop_fetching()

    async def topics(self) -> set[str]:
        found: set[str] = await self._ask(lambda: set(self._cluster.broker.topics))
        return found

    def assign(self, partitions: Collection[TopicPartition]) -> None:
        self._stop_fetching()
        self._assigned = set(partitions)
        self._positions = {one: at for one, at in self._positions.items() if one in self._assigned}

    def assignment(self) -> set[TopicPartition]:
        return set(self._assigned)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._positions[TopicPartition(*partition)] = offset

    async def position(self, partition: TopicPartition) -> int:
        return self._positions[partition]

    async def beginning_offsets(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        logs = self._cluster.broker.logs
        found: dict[TopicPartition, int] = await self._ask(lambda: {one: logs[one].start for one in partitions})
        return found

    async def end_offsets(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        logs = self._cluster.broker.logs
        found: dict[TopicPartition, int] = await self._ask(lambda: {one: logs[one].end for one in partitions})
        return found

    async def offsets_for_times(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, Any]:
        logs = self._cluster.broker.logs

        def first() -> dict[TopicPartition, Any]:
            return {
                one: next((SimpleNamespace(offset=r.offset) for r in logs[one].records if r.timestamp >= at), None)
                for one, at in times.items()
            }

        found: dict[TopicPartition, Any] = await self._ask(first)
        return found

    async def getmany(
        self,
        *partitions: TopicPartition,
        timeout_ms: int = 0,
        max_records: int | None = None,  # noqa: ARG002 - a fetch returns fewer
    ) -> dict[TopicPartition, list[StoredRecord]]:
        """Return the next records, or none after the timeout. A later answer is for the next call, as in aiokafka."""
        loop = self._cluster.loop
        wait_s = timeout_ms / 1000
        until = loop.time() + wait_s
        if self._fetching is None:
            self._fetching = self._fetch(partitions or self._assigned, wait_s)
        await asyncio.wait([self._fetching], timeout=wait_s + 0.05)
        if self._fetching is None or not self._fetching.done():
            return {}
        fetching, self._fetching = self._fetching, None
        try:
            return self._moved(fetching.result())
        except OutOfRange as out:
            await self._out_of_range({one: at for one, at in out.args[0].items() if self._positions.get(one) == at})
        except KafkaError:
            await asyncio.sleep(max(0.0, until - loop.time()))
        return {}

    def _fetch(self, partitions: Collection[TopicPartition], wait_s: float) -> "asyncio.Task[Any]":
        asked = self._asked = {one: self._positions[one] for one in partitions if one in self._positions}
        return asyncio.create_task(self._ask(lambda: self._cluster.broker.fetch(asked, wait_s)))

    def _stop_fetching(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            self._fetching = None

    async def _out_of_range(self, offsets: Mapping[TopicPartition, int]) -> None:
        if not offsets:
            return
        if not self._resets:
            raise OffsetOutOfRangeError(offsets)
        self._positions |= await self.beginning_offsets(offsets)

    def _moved(
        self, found: Mapping[TopicPartition, tuple[list[StoredRecord], int]]
    ) -> dict[TopicPartition, list[StoredRecord]]:
        records, chance = {}, self._cluster.chance
        late = chance.randrange(LEADERS) if chance.random() < SHARE_WITHOUT_A_LEADER else None
        for partition, (some, after) in found.items():
            if late is not None and crc32(f"{partition}".encode()) % LEADERS == late:
                continue
            # A seek meanwhile makes what was fetched obsolete.
            if self._positions.get(partition) == self._asked[partition]:
                self._positions[partition] = after
                if some:
                    records[partition] = some
        return records
