"""The two sides of Kafka's conformance tests: the model, and a real broker with aiokafka's clients."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from random import Random
from typing import Any, Final, Protocol
from unittest.mock import patch
from uuid import uuid4

from aiokafka import AIOKafkaClient, AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete

from runtime.kafka.patches.group_errors import heed_group_errors
from sandbox.kafka import EmbeddedKafka
from tests.simulation.conformance.kafka_members import Member, ModelMember, ServerMember
from tests.simulation.kafka.admin import Admin
from tests.simulation.kafka.broker import NewRecord
from tests.simulation.kafka.cluster import CLUSTER, Cluster
from tests.simulation.kafka.consumer import Consumer
from tests.simulation.kafka.producer import Producer
from tests.simulation.loop import SimulatedLoop
from tests.simulation.network import Network

# Kafka's `group.initial.rebalance.delay.ms` on both sides.
FIRST_REBALANCE_AFTER_S: Final = 0.3
AT: Final = 1_795_510_800.0


class Side(Protocol):
    """A cluster with one broker. Clients are aiokafka's, or act as these do."""

    async def topic(self, partitions: int = 1) -> str:
        """Create a topic and return its name."""

    async def producer(self, **options: Any) -> Any: ...

    async def consumer(self, at: Mapping[TopicPartition, int], **options: Any) -> Any:
        """Return a consumer without a group, which is assigned these partitions, and reads them from these offsets."""

    async def admin(self) -> Any: ...

    async def member(self, group: str, *, session_s: float = 10.0, rebalance_s: float = 10.0) -> Member:
        """Return what may join *group*."""

    async def delete_before(self, partition: TopicPartition, offset: int) -> None: ...

    async def pause(self) -> None:
        """Suspend the broker: what is sent to it meanwhile arrives when it is resumed."""

    async def resume(self) -> None: ...

    async def write_in_transaction(self, partition: TopicPartition, *values: bytes) -> None:
        """Write records and commit them."""

    async def restart(self) -> None:
        """Kill the broker, and start it again."""


Scenario = Callable[[Side], Coroutine[Any, Any, None]]
Run = Callable[[Scenario], None]


def on_both(scenario: Scenario) -> Callable[[Run], None]:
    """Return the test that runs *scenario* on a side."""

    def test(run_on_kafka: Run) -> None:
        run_on_kafka(scenario)

    test.__doc__ = scenario.__doc__
    return test


def run_on_model(scenario: Scenario) -> None:
    chance = Random(1)
    loop = SimulatedLoop(chance)
    network = Network(loop, chance)
    cluster = Cluster(loop, network, chance, AT, first_rebalance_after_s=FIRST_REBALANCE_AFTER_S)
    loop.world.context.run(CLUSTER.set, cluster)
    loop.run(scenario(_Model(cluster, network)))


def run_on_server(kafka: EmbeddedKafka, scenario: Scenario) -> None:
    async def run() -> None:
        async with AsyncExitStack() as stack:
            await scenario(_Server(kafka, stack))

    # As the services' clients are.
    with patch.object(AIOKafkaClient, "send", AIOKafkaClient.send):
        heed_group_errors()
        asyncio.run(run())


def new_name() -> str:
    """Return a name that no other test uses."""
    return f"t{uuid4().hex[:8]}"


class _Model:
    def __init__(self, cluster: Cluster, network: Network) -> None:
        self._cluster: Final = cluster
        self._network: Final = network
        self._names: Final = count(1)

    async def topic(self, partitions: int = 1) -> str:
        name = f"topic-{next(self._names)}"
        self._cluster.broker.create(name, partitions)
        return name

    async def producer(self, **options: Any) -> Any:
        producer = Producer(**options)
        await producer.start()
        return producer

    async def consumer(self, at: Mapping[TopicPartition, int], **options: Any) -> Any:
        return await _reading(Consumer(**options), at)

    async def admin(self) -> Any:
        admin = Admin()
        await admin.start()
        return admin

    async def member(self, group: str, *, session_s: float = 10.0, rebalance_s: float = 10.0) -> Member:
        return ModelMember(self._cluster, group, session_s, rebalance_s)

    async def delete_before(self, partition: TopicPartition, offset: int) -> None:
        self._cluster.broker.delete_before(partition, offset)

    async def pause(self) -> None:
        self._network.cut.add((self._cluster.loop.world, "kafka"))

    async def resume(self) -> None:
        self._network.cut.clear()

    async def write_in_transaction(self, partition: TopicPartition, *values: bytes) -> None:
        self._cluster.broker.append(partition, [NewRecord(0, None, value, ()) for value in values])
        self._cluster.broker.mark(partition)

    async def restart(self) -> None:
        self._network.down.add("kafka")
        await asyncio.sleep(2.0)
        self._network.down.clear()
        self._cluster.restart()


class _Server:
    def __init__(self, kafka: EmbeddedKafka, stack: AsyncExitStack) -> None:
        self._kafka: Final = kafka
        self._stack: Final = stack
        self._options: Final = {"bootstrap_servers": kafka.bootstrap_servers}

    async def topic(self, partitions: int = 1) -> str:
        name = new_name()
        admin = await self.admin()
        await admin.create_topics([NewTopic(name, partitions, 1)])
        return name

    async def producer(self, **options: Any) -> Any:
        producer = AIOKafkaProducer(**self._options, acks="all", **options)
        # A `stop` that was given up leaves its task and connections, and the next one does nothing.
        self._stack.push_async_callback(_given_up, producer)
        return await self._started(producer)

    async def consumer(self, at: Mapping[TopicPartition, int], **options: Any) -> Any:
        consumer = AIOKafkaConsumer(**self._options, enable_auto_commit=False, **options)
        self._stack.push_async_callback(consumer.stop)
        return await _reading(consumer, at)

    async def admin(self) -> Any:
        admin = AIOKafkaAdminClient(**self._options)
        self._stack.push_async_callback(admin.close)
        await admin.start()
        return admin

    async def member(self, group: str, *, session_s: float = 10.0, rebalance_s: float = 10.0) -> Member:
        client = await self._stack.enter_async_context(_connected(AIOKafkaClient(**self._options)))
        member = ServerMember(client, group, session_s, rebalance_s)
        await member.find_coordinator()
        return member

    async def delete_before(self, partition: TopicPartition, offset: int) -> None:
        await (await self.admin()).delete_records({partition: RecordsToDelete(before_offset=offset)})

    async def pause(self) -> None:
        await self._kafka.pause()

    async def resume(self) -> None:
        await self._kafka.resume()

    async def write_in_transaction(self, partition: TopicPartition, *values: bytes) -> None:
        producer = await self._started(AIOKafkaProducer(**self._options, transactional_id=new_name()))
        async with producer.transaction():
            for value in values:
                await producer.send_and_wait(partition.topic, value, partition=partition.partition)

    async def restart(self) -> None:
        await self._kafka.kill()
        await self._kafka.start()

    async def _started(self, client: Any) -> Any:
        self._stack.push_async_callback(client.stop)
        await client.start()
        return client


async def _reading(consumer: Any, at: Mapping[TopicPartition, int]) -> Any:
    await consumer.start()
    consumer.assign(list(at))
    for partition, offset in at.items():
        consumer.seek(partition, offset)
    return consumer


@asynccontextmanager
async def _connected(client: AIOKafkaClient) -> AsyncIterator[AIOKafkaClient]:
    try:
        await client.bootstrap()
        yield client
    finally:
        await client.close()


async def _given_up(producer: AIOKafkaProducer) -> None:
    await producer._sender.close()
    await producer.client.close()
