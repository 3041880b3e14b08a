"""The topics on Kafka: what is there, what is missing, and creating it. What exists is never altered."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import for_code

from producer.topic_settings import asked_of
from runtime.clock import Clock
from runtime.endings import CannotGoOn
from runtime.kafka.topics import Partitions, equal_partitions, look
from schemas.topics import Topics

LEADERS_WITHIN_S: Final = 30.0
POLL_S: Final = 0.1
_ALREADY_EXISTS: Final = 36


class TooFewBrokers(CannotGoOn):
    """Kafka has fewer brokers than each partition should have copies."""


class TopicsNotReady(CannotGoOn):
    """Kafka did not create a topic, or did not name a leader for each of its partitions in time."""


@dataclass(frozen=True)
class Found:
    """Which topics exist. *partitions* is the event topics' common count, None while there is none of them."""

    partitions: int | None
    missing: tuple[str, ...]

    @property
    def complaint(self) -> str | None:
        """What to do before anything can be published, or None."""
        return f"no such topic: {', '.join(self.missing)}: run `python -m producer topics`" if self.missing else None


async def find(admin: AIOKafkaAdminClient, topics: Topics) -> Found:
    """Return what Kafka holds of *topics*. Raises UnequalPartitions, and KafkaError when no broker answers."""
    there = await look(admin, topics.all)
    return Found(
        partitions=equal_partitions({topic: len(there[topic]) for topic in topics.events if topic in there}),
        missing=tuple(topic for topic in topics.all if topic not in there),
    )


@dataclass(frozen=True)
class Plan:
    """The topics to create, with the partition count that those have which exist already."""

    create: tuple[str, ...]
    partitions: int
    replication_factor: int


def plan(found: Found, *, partitions: int, replication_factor: int) -> Plan:
    return Plan(found.missing, found.partitions or partitions, replication_factor)


async def refuse_too_few_brokers(admin: AIOKafkaAdminClient, plan: Plan) -> None:
    """Raise TooFewBrokers where Kafka could not create what *plan* names."""
    if not plan.create:
        return
    brokers = len((await admin.describe_cluster())["brokers"])
    if plan.replication_factor > brokers:
        raise TooFewBrokers(
            f"KAFKA_REPLICATION_FACTOR is {plan.replication_factor}, more than Kafka has brokers, {brokers}:"
            " each copy needs one of its own"
        )


async def create(admin: AIOKafkaAdminClient, topics: Topics, plan: Plan, clock: Clock) -> frozenset[str]:
    """Create what *plan* names; return which of it was not there already, when all *topics* have their leaders.

    Somebody else may create a topic at the same moment, and not as it is asked for. Raises TopicsNotReady.
    """
    created: set[str] = set()
    answer = await admin.create_topics([_new_topic(name, topics, plan) for name in plan.create])
    for name, code, *message in answer.topic_errors:
        if not code:
            created.add(name)
        elif code != _ALREADY_EXISTS:
            why = (message[0] if message else None) or for_code(code).__name__
            raise TopicsNotReady(f"{name}: {why}")
    deadline = clock.monotonic() + LEADERS_WITHIN_S
    # Kafka answers before the new topics can be used.
    while unready := _unready(await look(admin, topics.all), topics):
        if clock.monotonic() > deadline:
            raise TopicsNotReady(f"no leader yet: {', '.join(unready)}; try again")
        await clock.sleep(POLL_S)
    return frozenset(created)


def _unready(there: Mapping[str, Partitions], topics: Topics) -> list[str]:
    return [topic for topic in topics.all if topic not in there or any(part["leader"] < 0 for part in there[topic])]


def _new_topic(name: str, topics: Topics, plan: Plan) -> NewTopic:
    asked = asked_of(name, topics, plan.replication_factor)
    config = {setting: one.value for setting, one in asked.items()}
    return NewTopic(name, plan.partitions, plan.replication_factor, topic_configs=config)
