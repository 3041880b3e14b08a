"""Missing topics and their creation. Existing topics are never altered."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, NotControllerError, TopicAlreadyExistsError, for_code

from runtime.endings import CannotGoOn
from runtime.kafka.connection import KafkaConnection
from runtime.kafka.topic_settings import asked_of, differences, most_copies
from runtime.kafka.topics import admin_client, equal_partitions, look
from runtime.logs import log
from schemas.topics import Topics

LEADERS_WITHIN_S: Final = 30.0
POLL_S: Final = 0.1
_NO_CONTROLLER: Final = "Kafka has no controller just now: try again"


class TopicsNotReady(CannotGoOn):
    """Kafka did not create a topic, or did not name a leader for each of its partitions in time."""


@dataclass(frozen=True)
class Found:
    """The result of a search for topics: *partitions* is the event topics' common count, None if there are none of
    them.

    *copies* is the event topics' largest number of replicas, 0 if there are none; *missing* are the names without a
    topic.
    """

    partitions: int | None
    copies: int
    missing: tuple[str, ...]

    @property
    def complaint(self) -> str | None:
        """The missing topics and the command that creates them; None if all exist."""
        return f"no such topic: {', '.join(self.missing)}: run `python -m producer topics`" if self.missing else None


async def find(admin: AIOKafkaAdminClient, topics: Topics, names: Collection[str]) -> Found:
    """Return which of *names* and of the event topics exist.

    Raises UnequalPartitions, and KafkaError if no broker answers.
    """
    there = await look(admin, {*names, *topics.events})
    return Found(
        partitions=equal_partitions({topic: len(there[topic]) for topic in topics.events if topic in there}),
        copies=most_copies(there, topics),
        missing=tuple(topic for topic in names if topic not in there),
    )


async def refuse_too_few_brokers(admin: AIOKafkaAdminClient, replicas: int) -> None:
    """Raise CannotGoOn if Kafka has too few brokers for topics with *replicas* replicas."""
    brokers = len((await admin.describe_cluster())["brokers"])
    if replicas > brokers:
        raise CannotGoOn(
            f"KAFKA_REPLICATION_FACTOR is {replicas}, more than Kafka has brokers, {brokers}:"
            " each copy needs one of its own"
        )


async def create(admin: AIOKafkaAdminClient, kafka: KafkaConnection, found: Found) -> frozenset[str]:
    """Create the missing topics. Return those that did not exist before, once all of them have leaders.

    Those that the producer writes get the event topics' number of partitions, or the configured one, and the configured
    number of replicas. The others get one partition, and at least as many replicas as the event topics. Another program
    may create a topic at the same time, with other settings. Raises TopicsNotReady.
    """
    created: set[str] = set()
    for name, code, *message in await _ask(admin, [_new_topic(name, kafka, found) for name in found.missing]):
        if not code:
            created.add(name)
        elif code == NotControllerError.errno:
            raise TopicsNotReady(_NO_CONTROLLER)
        elif code != TopicAlreadyExistsError.errno:
            raise TopicsNotReady(f"{name}: {(message[0] if message else None) or for_code(code).__name__}")
    unready = found.missing
    try:
        async with asyncio.timeout(LEADERS_WITHIN_S):
            # Kafka answers before the new topics are ready for use.
            while True:
                if not (unready := await _unready(admin, unready)):
                    return frozenset(created)
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        raise TopicsNotReady(f"no leader yet: {', '.join(unready)}; try again") from None


async def _ask(admin: AIOKafkaAdminClient, new: list[NewTopic]) -> Sequence[tuple[str, int, str | None]]:
    try:
        return list((await admin.create_topics(new)).topic_errors)
    except (AttributeError, NotControllerError):
        # aiokafka reads the controller's node id even while no controller is elected.
        raise TopicsNotReady(_NO_CONTROLLER) from None


async def _unready(admin: AIOKafkaAdminClient, names: Collection[str]) -> tuple[str, ...]:
    there = await look(admin, names)
    return tuple(name for name in names if name not in there or any(part["leader"] < 0 for part in there[name]))


def _new_topic(name: str, kafka: KafkaConnection, found: Found) -> NewTopic:
    partitions, copies = 1, max(found.copies, kafka.kafka_replication_factor)
    if name in kafka.topics.published:
        partitions, copies = found.partitions or kafka.kafka_partitions, kafka.kafka_replication_factor
    config = {setting: one.value for setting, one in asked_of(name, kafka.topics, copies).items()}
    return NewTopic(name, partitions, copies, topic_configs=config)


async def make_sure_of(kafka: KafkaConnection, name: str) -> None:
    """Create the topic *name*, with one partition, if it is missing. Return when it is ready for use.

    A topic that exists with other settings is used as it is, and a warning is logged. Raises KafkaError, and
    TopicsNotReady.
    """
    topics, replicas = kafka.topics, kafka.kafka_replication_factor
    async with admin_client(kafka.client_options()) as admin:
        there = await look(admin, {name, *topics.events})
        missing = Found(partitions=None, copies=most_copies(there, topics), missing=(name,))
        if name not in there and await create(admin, kafka, missing):
            return
        try:
            found = await differences(admin, topics, [name], partitions=1, replication_factor=replicas)
        except KafkaError as error:
            # A client that may write to a topic need not be allowed to read its settings.
            log.warning("topic.settings_not_read", topic=name, error=type(error).__name__)
            return
    if certain := [str(one) for one in found.get(name, ()) if one.is_certain]:
        log.warning("topic.differs", topic=name, differences=certain)
