"""The driver: Faust's consumer of Kafka, with what is read and what is committed taken out of its hands.

See docs/decisions/0048 for why. What it leans on inside Faust is held by
`tests/unit/hubspot_consumer/kafka/test_faust_inside.py`.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, cast

import faust
from aiokafka.errors import KafkaError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from yarl import URL

from hubspot_consumer.kafka.offsets import Offsets
from hubspot_consumer.kafka.positions import Fetched, Positions
from hubspot_consumer.kafka.records import Partition
from runtime.logs import logger

log = logger()


class Consumer(driver.Consumer):
    """Faust's consumer, with what is read and what is committed taken out of its hands."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        transport = cast("Transport", self.transport)
        self.positions, self._offsets = transport.positions, transport.offsets
        self._read_offset = _NothingRead(lambda: None)

    def _new_consumer_thread(self) -> "ConsumerThread":
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def perform_seek(self) -> None:
        """Do nothing: `positions` has sought, or will before anything is fetched."""

    def sought(self, starts: Mapping[Partition, int]) -> None:
        """Take what the client's thread says before it hands on the first record of these partitions."""
        self._thread.parent_loop.call_soon_threadsafe(self._offsets.assigned, starts)

    async def seek_back(self, partition: Partition, offset: int) -> None:
        """Fetch a partition again from *offset* on."""
        thread = self._thread
        await thread.call_thread(self.positions.seek_back, thread._ensure_consumer(), partition, offset)  # noqa: SLF001 - no public way

    async def heed_errors(self) -> None:
        """Ask the client for the errors of its group, in its own thread."""
        thread = self._thread
        await thread.call_thread(_heed_errors, thread._ensure_consumer())  # noqa: SLF001 - no public way

    def _filter_committable_offsets(self, _tps: Any) -> dict[TP, int]:
        for partition, end, to in self.positions.skipped():
            self._offsets.pass_over(partition, end, to)
        return {TP(*partition): offset for partition, offset in self._offsets.committable().items()}

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        if committed := await super()._commit(offsets):
            self._offsets.committed({(partition.topic, partition.partition): at for partition, at in offsets.items()})
        return committed


async def _heed_errors(consumer: Any) -> None:
    coordinator = consumer._coordinator  # noqa: SLF001 - the public ways to it read records too
    ended = coordinator._coordination_task.done()  # noqa: SLF001 - see above
    try:
        coordinator.check_errors()
    except KafkaError as error:
        if ended:
            raise
        log.warning("worker.group_error", error=type(error).__name__, detail=str(error))


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread in which the Kafka client runs: it fetches nothing between a revocation and the seek after it."""

    @property
    def _ours(self) -> Consumer:
        return cast("Consumer", self.consumer)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        self._ours.positions.revoked()
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        await super().on_partitions_assigned(assigned, generation_id)
        self._ours.positions.assigned(self._ensure_consumer(), self._ours.sought)

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: set[TP],
        timeout: float | None = None,  # noqa: ASYNC109 - as Faust has it
        max_records: int | None = None,
    ) -> Any:
        fetch_records = super()._fetch_records

        async def fetch() -> Fetched:
            # No partition at all would mean every partition to aiokafka, and Faust would throw away what comes of it.
            if not active_partitions:
                return {}
            fetched: Any = await fetch_records(consumer, active_partitions, timeout=timeout, max_records=max_records)
            return cast("Fetched", fetched)

        return await self._ours.positions.fetch(consumer, fetch, timeout)


class Transport(driver.Transport):
    Consumer = Consumer

    def __init__(self, url: list[URL], app: faust.App, positions: Positions, offsets: Offsets) -> None:
        super().__init__(url, app)
        self.positions, self.offsets = positions, offsets


class _NothingRead(defaultdict[TP, int | None]):
    """What Faust notes of the offsets that it read, by which it would drop records and commit over gaps: nothing."""

    def __setitem__(self, partition: TP, offset: int | None) -> None:
        """Note nothing."""
