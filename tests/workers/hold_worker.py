"""What of a worker obeys holds and answers them, with a clock of the test's."""

import asyncio
from datetime import timedelta
from typing import Any, cast

from hubspot_consumer.holds.records import HoldAnswered, HoldBegun, HoldRecord
from hubspot_consumer.holds.records import read_hold_record as read
from hubspot_consumer.holds.worker import HoldAnswers, WorkerHolds
from hubspot_consumer.kafka.lease import Lease
from hubspot_consumer.ordering.lanes import Lanes
from schemas.contacts import ContactKey
from tests.clock import LoopClock, run_fast
from tests.kafka.hold_records import as_read
from tests.lane_bench import Bench


class Delivery:
    def __init__(self) -> None:
        self.taking = True

    def notify(self) -> None:
        """Whoever takes looks by itself."""

    def pause(self) -> None:
        self.taking = False

    def resume(self) -> None:
        self.taking = True


class Pacing:
    def __init__(self) -> None:
        self.lent = 0.0

    def lend(self, part: float) -> None:
        self.lent = part


class Worker:
    """Lanes, holds and answers; what it says is in `said`."""

    def __init__(self, clock: Any) -> None:
        self.clock = clock
        self.bench = Bench()
        self.lanes = self.bench.lanes = Lanes(clock)
        self.delivery, self.pacing = Delivery(), Pacing()
        self.holds = WorkerHolds(self.lanes, cast("Any", self.delivery), cast("Any", self.pacing), clock)
        self.lease = Lease(clock)
        self.lease.renew(clock.monotonic())
        self.said: list[HoldAnswered] = []
        self.faults: list[Exception] = []
        self.read = asyncio.Event()
        self.read.set()
        self.answers = HoldAnswers(
            holds=self.holds,
            followed=cast("Any", self),
            topic="holds",
            producer=cast("Any", self),
            delivery=cast("Any", self.delivery),
            lease=self.lease,
            clock=clock,
        )

    def hear(self, record: HoldRecord | bytes, old: timedelta = timedelta()) -> None:
        self.holds.take_in(as_read(record, self.clock.now() - old))

    async def send_and_wait(self, _topic: str, *, key: bytes, value: bytes, partition: int) -> None:
        await asyncio.sleep(0.01)
        if self.faults:
            raise self.faults.pop()
        said = read(value)
        assert isinstance(said, HoldAnswered)
        assert (key.decode(), partition) == (said.run, 0)
        self.said.append(said)

    async def caught_up(self) -> None:
        if self.faults:
            raise self.faults.pop()
        await self.read.wait()

    @property
    def answered(self) -> list[tuple[int, tuple[int, ...]]]:
        return [(held.number, held.partitions) for held in self.said]


def begun(number: int = 1, *contacts: ContactKey, run: str = "r", share: float = 0.4) -> HoldBegun:
    return HoldBegun(run=run, number=number, command="replay", contacts=contacts, quota_share=share)


def answering(test: Any) -> None:
    """Run a test of a worker that answers, on a loop whose time flies."""

    async def run() -> None:
        worker = Worker(LoopClock())
        tasks = [asyncio.create_task(task) for task in (worker.answers.answer(), worker.answers.catch_up())]
        try:
            await test(worker)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    run_fast(run())
