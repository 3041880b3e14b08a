"""The driver: Faust's Kafka consumer, in which `positions` and `offsets` choose what is read and committed, and Faust's
assignor, which assigns only partition numbers that all topics have.

docs/decisions/0048 explains why. The driver depends on internals of Faust and aiokafka:
`tests/unit/hubspot_consumer/kafka/test_faust_inside.py` fails with other versions of the two.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, MutableMapping
from itertools import chain
from typing import Any, cast

import faust
from aiokafka.cluster import ClusterMetadata
from aiokafka.errors import KafkaError
from faust.assignor.partition_assignor import PartitionAssignor
from faust.tables import manager
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, Message
from yarl import URL

from hubspot_consumer.kafka.offsets import Offsets
from hubspot_consumer.kafka.positions import Fetched, Positions
from hubspot_consumer.kafka.records import Partition
from runtime.logs import log


class Consumer(driver.Consumer):
    """Faust's consumer, which reads by `positions` and commits by `offsets`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        transport = cast("Transport", self.transport)
        self.positions, self._offsets = transport.positions, transport.offsets
        self._read_offset = _NothingRead(lambda: None)

    def _new_consumer_thread(self) -> "ConsumerThread":
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:  # noqa: ASYNC109 - as Faust has it
        """Yield the records of a fetch as the value of one message.

        Faust needs two tasks and three turns of the event loop to pass a message on, which is more than all other work
        for a record.
        """
        fetched, _ = await self._wait_next_records(timeout)
        if fetched and self.flow_active and not self.should_stop:
            partition, records = next(iter(fetched.items()))
            message = self._to_message(partition, records[0])
            message.value = cast("Any", list(chain.from_iterable(fetched.values())))
            yield partition, message

    async def perform_seek(self) -> None:
        """Do nothing: `positions` seeks each partition before anything is fetched."""

    def sought(self, starts: Mapping[Partition, int]) -> None:
        """Store the start offsets of the assignment; the client's thread calls this before it returns any record."""
        self._thread.parent_loop.call_soon_threadsafe(self._offsets.assigned, starts)

    async def seek_back(self, partition: Partition, offset: int) -> None:
        """Fetch a partition again from *offset* on."""
        thread = self._thread
        await thread.call_thread(self.positions.seek_back, thread._ensure_consumer(), partition, offset)  # noqa: SLF001 - no public way

    async def heed_errors(self) -> KafkaError | None:
        """Return the client's error of its group, which is looked for in the client's thread."""
        thread = self._thread
        if thread._consumer is None:  # noqa: SLF001 - no public way
            # It has not started yet.
            return None
        return await thread.call_thread(_heed_errors, thread._ensure_consumer())  # noqa: SLF001 - no public way

    async def look_for_partitions(self) -> None:
        """Update the client's metadata. If partitions were added, the leader of the group assigns anew."""
        thread = self._thread
        await thread.call_thread(_update_metadata, thread._ensure_consumer())  # noqa: SLF001 - no public way

    def _filter_committable_offsets(self, _tps: Any) -> dict[TP, int]:
        for partition, end, to in self.positions.skipped():
            self._offsets.pass_over(partition, end, to)
        return {TP(*partition): offset for partition, offset in self._offsets.committable().items()}

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        if committed := await super()._commit(offsets):
            self._offsets.committed({(partition.topic, partition.partition): at for partition, at in offsets.items()})
        return committed


async def _heed_errors(consumer: Any) -> KafkaError | None:
    coordinator = consumer._coordinator  # noqa: SLF001 - the public methods that check for errors read records too
    ended = coordinator._coordination_task.done()  # noqa: SLF001 - see above
    try:
        coordinator.check_errors()
    except KafkaError as error:
        if ended:
            raise
        log.warning("worker.group_error", error=type(error).__name__, detail=str(error))
        return error
    return None


async def _update_metadata(consumer: Any) -> None:
    # Without this, aiokafka would look every five minutes. It updates in the background, and nobody waits for the end.
    consumer._client.force_metadata_update()  # noqa: SLF001 - no public way


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread of the Kafka client, which fetches nothing between a revocation and the next seek."""

    @property
    def _driver(self) -> Consumer:
        return cast("Consumer", self.consumer)

    async def on_start(self) -> None:
        await super().on_start()
        fetcher: Any = self._ensure_consumer()._fetcher  # noqa: SLF001 - no public way
        fetcher._proc_fetch_request = self._driver.positions.spaced(fetcher._proc_fetch_request)  # noqa: SLF001 - see above

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        self._driver.positions.revoked()
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        await super().on_partitions_assigned(assigned, generation_id)
        self._driver.positions.assigned(self._ensure_consumer(), self._driver.sought)

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: set[TP],
        timeout: float | None = None,  # noqa: ASYNC109 - as Faust has it
        max_records: int | None = None,
    ) -> Any:
        fetch_records = super()._fetch_records

        async def fetch() -> Fetched:
            # aiokafka takes an empty set for all partitions, and Faust would drop the records that it returns.
            if not active_partitions:
                return {}
            fetched: Any = await fetch_records(consumer, active_partitions, timeout=timeout, max_records=max_records)
            return cast("Fetched", fetched)

        return await self._driver.positions.fetch(consumer, fetch, timeout)


class Transport(driver.Transport):
    Consumer = Consumer

    def __init__(self, url: list[URL], app: faust.App, positions: Positions, offsets: Offsets) -> None:
        super().__init__(url, app)
        self.positions, self.offsets = positions, offsets


class TableManager(manager.TableManager):
    """Faust's table manager, which starts at once: Faust has it sleep for a second first."""

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()


class Assignor(PartitionAssignor):
    """Assigns only partition numbers that all topics have: a contact's topics belong to one worker.

    Partitions are added to one topic after the other, and Faust would assign topics with different counts
    independently.
    """

    @classmethod
    def _get_copartitioned_groups(
        cls, topics: set[str], cluster: ClusterMetadata, subscriptions: MutableMapping[str, list[str]]
    ) -> MutableMapping[int, Iterable[set[str]]]:
        groups = super()._get_copartitioned_groups(topics, cluster, subscriptions)
        together = {topic for of_one_count in groups.values() for one in of_one_count for topic in one}
        return {min(groups): cls._group_co_subscribed(together, subscriptions)} if groups else {}


class _NothingRead(defaultdict[TP, int | None]):
    """Faust's dict of read offsets, kept empty: by these Faust would drop records and commit over gaps."""

    def __setitem__(self, partition: TP, offset: int | None) -> None:
        """Store nothing."""
