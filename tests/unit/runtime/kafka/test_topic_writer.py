"""The writer of a topic: it makes sure of its topic once, and again after a fault."""

import asyncio
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from runtime.kafka import topic_writer
from runtime.kafka.connection import KafkaConnection
from runtime.kafka.new_topics import TopicsNotReady
from runtime.kafka.topic_writer import TopicWriter

TOPIC = "lifecycle.controls"


class Broker:
    """Notes what is done at it, in order."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.no_controller = self.refuses = False

    async def make_sure_of(self, _kafka: KafkaConnection, name: str) -> None:
        assert name == TOPIC
        await asyncio.sleep(0)
        if self.no_controller:
            raise TopicsNotReady
        self.done.append("made sure")

    def producer(self, **options: Any) -> Any:
        assert options["acks"] == "all"
        return Producer(self)


class Producer:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def start(self) -> None:
        if self._broker.refuses:
            raise KafkaConnectionError
        self._broker.done.append("connected")

    async def stop(self) -> None:
        self._broker.done.append("closed")

    async def send(self, topic: str, value: bytes, key: bytes, partition: int, headers: Any) -> Any:
        assert (topic, partition, headers) == (TOPIC, 0, ())
        self._broker.done.append(f"{key.decode()}={value.decode()}")
        return asyncio.sleep(0)


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    broker = Broker()
    monkeypatch.setattr(topic_writer, "make_sure_of", broker.make_sure_of)
    monkeypatch.setattr(topic_writer, "AIOKafkaProducer", broker.producer)
    return broker


async def test_the_topic_is_made_before_the_first_record_and_not_before_there_is_one(broker: Broker) -> None:
    async with TopicWriter(KafkaConnection(), TOPIC) as writer:
        assert broker.done == []
        await asyncio.gather(writer.write(b"a", b"1"), writer.write(b"b", b"2"))

    assert broker.done == ["made sure", "connected", "a=1", "b=2", "closed"]


async def test_after_a_fault_the_next_record_begins_anew(broker: Broker) -> None:
    writer = TopicWriter(KafkaConnection(), TOPIC)
    broker.no_controller = broker.refuses = True
    with pytest.raises(TopicsNotReady):
        await writer.write(b"a", b"1")
    broker.no_controller = False
    with pytest.raises(KafkaConnectionError):
        await writer.write(b"a", b"1")
    broker.refuses = False

    await writer.write(b"a", b"1")
    await writer.stop()

    assert broker.done == ["made sure", "closed", "connected", "a=1", "closed"]


async def test_a_topic_that_may_have_been_deleted_is_looked_for_again(broker: Broker) -> None:
    async with TopicWriter(KafkaConnection(), TOPIC) as writer:
        await writer.write(b"a", b"1")
        writer.look_again()
        await writer.write(b"b", b"2")

    assert broker.done == ["made sure", "connected", "a=1", "made sure", "b=2", "closed"]
