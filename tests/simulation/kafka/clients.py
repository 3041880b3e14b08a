"""The models of aiokafka's clients, as far as the product uses them."""

import asyncio
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    OffsetOutOfRangeError,
    RequestTimedOutError,
)
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.structs import OffsetAndMetadata

from runtime.kafka.topics import partition_of
from tests.simulation.kafka.broker import NewRecord, OutOfRange, StoredRecord
from tests.simulation.kafka.cluster import CLUSTER
from tests.simulation.loop import CURRENT

# aiokafka's own, in seconds.
REQUEST_WITHIN_S: Final = 40.0
RETRY_AFTER_S: Final = 0.1
_UNKNOWN_TOPIC: Final = 3
_TOPIC_EXISTS: Final = 36
_LOADS: Final = 14


class _Client:
    """A client, whose `start` connects."""

    def __init__(self, **options: Any) -> None:
        self._cluster: Final = CLUSTER.get()
        self._within_s: Final = options.get("request_timeout_ms", 1000 * REQUEST_WITHIN_S) / 1000

    async def start(self) -> None:
        try:
            await self._ask(lambda: None)
        except RequestTimedOutError:
            raise KafkaConnectionError("no broker answers") from None

    async def stop(self) -> None: ...

    async def _ask(self, act: Any) -> Any:
        return await self._cluster.ask(act, within_s=self._within_s)

    def _now_ms(self) -> int:
        cluster, process = self._cluster, CURRENT.get()
        return int(1000 * (cluster.epoch_s + cluster.loop.time() + process.clock_ahead_s))


class Batch:
    """aiokafka's BatchBuilder: records that are sent together."""

    def __init__(self, now_ms: int, most_octets: int) -> None:
        self._now_ms: Final = now_ms
        self._room = most_octets
        self.records: Final[list[NewRecord]] = []

    def append(
        self,
        *,
        timestamp: int | None,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> object | None:
        octets = 70 + len(key or b"") + len(value or b"") + sum(len(name) + len(one) for name, one in headers)
        if self.records and octets > self._room:
            return None
        self._room -= octets
        self.records.append(NewRecord(timestamp or self._now_ms, key, value, headers))
        return self

    def close(self) -> None: ...


class _Sending:
    """A batch that waits for its acknowledgement."""

    def __init__(self, records: Sequence[NewRecord], until: float, done: "asyncio.Future[Any]") -> None:
        self.records: Final = records
        self.until: Final = until
        self.done: Final = done


class Producer(_Client):
    """AIOKafkaProducer: one batch of each partition is under way, and is sent again until it is acknowledged."""

    def __init__(
        self,
        *,
        enable_idempotence: bool = False,
        max_batch_size: int = 16_384,
        max_request_size: int = 1_048_576,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._id = next(self._cluster.producer_ids) if enable_idempotence else None
        self._octets: Final = max_batch_size
        self._largest: Final = max_request_size
        self._waiting: dict[TopicPartition, deque[_Sending]] = {}
        self._numbers: dict[TopicPartition, int] = {}
        self._senders: Final[dict[TopicPartition, asyncio.Task[None]]] = {}
        self.client = SimpleNamespace(send=self._request)

    async def stop(self) -> None:
        # Whoever gives the wait up leaves the batches to be sent all the same.
        if self._senders:
            await asyncio.wait(self._senders.values())

    def create_batch(self) -> Batch:
        return Batch(self._now_ms(), self._octets)

    async def send(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        partition: int | None = None,
        headers: Sequence[tuple[str, bytes]] | None = None,
    ) -> "asyncio.Future[Any]":
        if len(value or b"") > self._largest:
            raise MessageSizeTooLargeError
        if partition is None:
            partition = partition_of((key or b"").decode(), self._cluster.broker.topics.get(topic, 1))
        return self._put(TopicPartition(topic, partition), [NewRecord(self._now_ms(), key, value, headers or ())])

    async def send_and_wait(self, topic: str, **record: Any) -> Any:
        return await (await self.send(topic, **record))

    async def send_batch(self, batch: Batch, topic: str, *, partition: int) -> "asyncio.Future[Any]":
        return self._put(TopicPartition(topic, partition), batch.records)

    def _put(self, partition: TopicPartition, records: Sequence[NewRecord]) -> "asyncio.Future[Any]":
        loop = self._cluster.loop
        sending = _Sending(records, loop.time() + self._within_s, loop.create_future())
        self._waiting.setdefault(partition, deque()).append(sending)
        if (sender := self._senders.get(partition)) is None or sender.done():
            self._senders[partition] = asyncio.create_task(self._send_all(partition))
        return sending.done

    async def _send_all(self, partition: TopicPartition) -> None:
        waiting = self._waiting[partition]
        while waiting:
            sending = waiting.popleft()
            try:
                first = await self._sent(partition, sending)
            except KafkaError as error:
                if not sending.done.done():
                    sending.done.set_exception(error)
            else:
                if not sending.done.done():
                    sending.done.set_result(SimpleNamespace(offset=first))

    async def _sent(self, partition: TopicPartition, sending: _Sending) -> int:
        """Return the offset of the first record. Raises KafkaError; then the records may be stored all the same.

        An idempotent producer never gives up a batch, since the numbers of the next ones depend on it.
        """
        loop = self._cluster.loop
        number = self._numbers[partition] = self._numbers.get(partition, 0) + 1
        batch = (self._id, number) if self._id is not None else None

        def append() -> int:
            return self._cluster.broker.append(partition, sending.records, batch)

        while True:
            try:
                # The product replaces `client.send`, so that a batch that waited is not sent too late.
                first: int = await self.client.send(0, _Produce(append))
            except KafkaError as error:
                if not error.retriable or (self._id is None and loop.time() >= sending.until):
                    raise
            else:
                return first
            await asyncio.sleep(RETRY_AFTER_S)

    async def _request(self, _node: int, request: "_Produce") -> int:
        self._cluster.produces(CURRENT.get())
        first: int = await self._ask(request.act)
        return first


class _Produce(ProduceRequest):  # type: ignore[misc] # aiokafka is Any to mypy
    """A produce request, as the product recognizes it, and what it does."""

    def __init__(self, act: Any) -> None:
        self.act: Final = act


class Consumer(_Client):
    """AIOKafkaConsumer without a group: it reads the partitions that are assigned by hand."""

    def __init__(self, *, auto_offset_reset: str = "earliest", **options: Any) -> None:
        super().__init__(**options)
        self._resets: Final = auto_offset_reset == "earliest"
        self._positions: dict[TopicPartition, int] = {}
        self._assigned: set[TopicPartition] = set()
        # The request that is under way, and the positions it asks for.
        self._fetching: asyncio.Task[Any] | None = None
        self._asked: dict[TopicPartition, int] = {}

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
        records = {}
        for partition, (some, after) in found.items():
            # A seek meanwhile makes what was fetched obsolete.
            if self._positions.get(partition) == self._asked[partition]:
                self._positions[partition] = after
                if some:
                    records[partition] = some
        return records


class Admin(_Client):
    """AIOKafkaAdminClient."""

    async def close(self) -> None: ...

    async def _send_request(self, request: Any) -> Any:
        names = request._topics
        topics = self._cluster.broker.topics

        def described() -> dict[str, Any]:
            return {"topics": [_described(name, topics.get(name)) for name in names]}

        found = await self._ask(described)
        return SimpleNamespace(to_object=lambda: found)

    async def list_consumer_group_offsets(
        self, group: str, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, OffsetAndMetadata]:
        offsets = await self._ask(lambda: self._cluster.group(group).offsets_of(partitions))
        return {one: OffsetAndMetadata(offset, "") for one, offset in offsets.items()}

    async def describe_consumer_groups(self, names: Sequence[str]) -> list[Any]:
        return [await self._ask(lambda name=name: self._group(name)) for name in names]

    async def create_topics(self, new: Sequence[Any]) -> Any:
        def create() -> list[tuple[str, int, None]]:
            there = set(self._cluster.broker.topics)
            for one in new:
                if one.name not in there:
                    self._cluster.broker.create(one.name, one.num_partitions)
                if one.topic_configs.get("message.timestamp.type") == "LogAppendTime":
                    self._cluster.broker.stamped.add(one.name)
            return [(one.name, _TOPIC_EXISTS if one.name in there else 0, None) for one in new]

        return SimpleNamespace(topic_errors=await self._ask(create))

    async def describe_configs(self, _asked: object) -> Any:
        raise KafkaError("this cluster describes no settings")

    def _group(self, name: str) -> Any:
        group = self._cluster.group(name)
        if group.loads:
            return SimpleNamespace(groups=[(_LOADS, name, "", "", "", [])])
        if not group.exists:
            return SimpleNamespace(groups=[(0, name, "Dead", "", "", [])])
        stable = group.state == "Stable"
        members = [
            (one, one, "/127.0.0.1", b"", encoded(group.assignments.get(one, ())) if stable else b"")
            for one in group.members
        ]
        return SimpleNamespace(groups=[(0, name, group.state, "consumer", "", members)])


def _described(name: str, partitions: int | None) -> dict[str, Any]:
    if partitions is None:
        return {"topic": name, "error_code": _UNKNOWN_TOPIC, "partitions": []}
    parts = [{"partition": number, "leader": 0, "replicas": [0], "isr": [0]} for number in range(partitions)]
    return {"topic": name, "error_code": 0, "partitions": parts}


def encoded(assignment: Collection[TopicPartition]) -> bytes:
    """Return an assignment as Kafka's consumers encode it."""
    topics: dict[str, list[int]] = {}
    for topic, number in assignment:
        topics.setdefault(topic, []).append(number)
    encoded: bytes = ConsumerProtocolMemberAssignment(0, list(topics.items()), b"").encode()
    return encoded
