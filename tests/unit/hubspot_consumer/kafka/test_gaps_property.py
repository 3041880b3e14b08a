"""Whatever is thrown away between the client and the reader: every record is taken, and none committed before."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any, cast

from aiokafka import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from hubspot_consumer.kafka.gaps import LOOKS, Gaps
from hubspot_consumer.kafka.offsets import Offsets
from hubspot_consumer.kafka.positions import Gap, Positions
from hubspot_consumer.kafka.records import Partition, Record
from runtime.clock import SystemClock
from runtime.health import Health
from tests.samples import record

PARTITION = TopicPartition("lifecycle.nova_earned", 0)


class Log:
    """One partition on Kafka: *numbers* are the offsets at which it holds records, up to *end*."""

    def __init__(self, numbers: list[int], end: int) -> None:
        self.numbers, self.end = numbers, end
        self.group: int | None = None
        self.at = 0

    def assignment(self) -> list[TopicPartition]:
        return [PARTITION]

    async def committed(self, _: TopicPartition) -> int | None:
        return self.group

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self.group = offsets[PARTITION]

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    def seek(self, _: TopicPartition, offset: int) -> None:
        self.at = offset

    async def position(self, _: TopicPartition) -> int:
        return self.at

    async def fetch(self, most: int) -> dict[TopicPartition, list[Record]]:
        found = [number for number in self.numbers if number >= self.at][:most]
        rest = [number for number in self.numbers if found and number > found[-1]]
        self.at = rest[0] if rest else self.end
        return {PARTITION: [record(offset=number) for number in found]} if found else {}


class Reader:
    """A worker's reading of the log; each record of *lost* turns is thrown away on its way."""

    def __init__(self, log: Log) -> None:
        self.log, self.offsets, self.gaps = log, Offsets(), Counter[Gap]()
        self.taken: set[int] = set()
        self.positions = Positions(SystemClock(), self._count)
        lag: Any = type("Lag", (), {"end_of": lambda *_: log.end})()
        self.watch = Gaps(
            offsets=self.offsets,
            positions=self.positions,
            lag=lag,
            health=Health(),
            waited=lambda: False,
        )
        self.assigned: list[Partition] = [PARTITION]
        self.paused: list[Partition] = []

    def _count(self, gap: Gap) -> None:
        self.gaps[gap] += 1

    async def seek_back(self, partition: Partition) -> None:
        offset = self.offsets.next_of(partition)
        assert offset is not None
        await self.positions.seek_back(cast("Any", self.log), partition, offset)

    async def rebalance(self) -> None:
        self.positions.revoked()
        self.offsets.forget()
        sought = asyncio.Event()

        def assigned(starts: Mapping[Partition, int]) -> None:
            self.offsets.assigned(starts)
            sought.set()

        self.positions.assigned(cast("Any", self.log), assigned)
        await sought.wait()

    async def read(self, most: int, lost: set[int]) -> None:
        fetched = await self.positions.fetch(cast("Any", self.log), lambda: self.log.fetch(most), 1)
        for number, one in enumerate(fetched.get(PARTITION, ())):
            if number not in lost and await self.watch.is_next(one, self):
                self.offsets.begin(one.topic_partition, one.offset)()
                self.taken.add(one.offset)

    def commit(self) -> None:
        for partition, end, to in self.positions.skipped():
            self.offsets.pass_over(partition, end, to)
        committable = self.offsets.committable()
        self.offsets.committed(committable)
        self.log.group = committable.get(PARTITION, self.log.group)
        unread = [number for number in self.log.numbers if number not in self.taken]
        assert self.log.group is None or not unread or self.log.group <= unread[0]


STEPS = st.one_of(
    st.tuples(st.just("read"), st.integers(1, 5), st.sets(st.integers(0, 4))),
    st.tuples(st.sampled_from(["rebalance", "commit"]), st.just(0), st.just(set[int]())),
)


@given(st.sets(st.integers(0, 24)), st.integers(0, 3), st.lists(STEPS, max_size=40))
def test_every_record_is_taken_and_nothing_unread_is_committed_whatever_is_thrown_away(
    numbers: set[int], markers: int, steps: list[tuple[str, int, set[int]]]
) -> None:
    async def play() -> None:
        log = Log(sorted(numbers), max(numbers, default=-1) + 1 + markers)
        reader = Reader(log)
        await reader.rebalance()
        for what, most, lost in steps:
            if what == "rebalance":
                await reader.rebalance()
            elif what == "commit":
                reader.commit()
            else:
                await reader.read(most, lost)

        # Nothing is thrown away any more: what was, comes at the next record or when nothing comes.
        for _ in range(2 * len(numbers) + 2 * LOOKS + 4):
            await reader.read(5, set())
            reader.commit()
            await reader.watch.look(reader)

        assert reader.taken == numbers
        assert (log.group or 0) == log.end
        assert set(reader.gaps) <= {"lost", "stalled"}

    asyncio.run(play())
