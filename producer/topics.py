"""The topics on Kafka: what is there, what is missing, and creating it. What exists is never altered."""

from dataclasses import dataclass
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import for_code

from producer.topic_settings import asked_of
from runtime.clock import Clock
from schemas.topics import Topics

LEADERS_WITHIN_S: Final = 30.0
POLL_S: Final = 0.1


class UnequalPartitions(RuntimeError):
    """The event topics have different partition counts: a contact would be in several workers' hands."""


class TooFewBrokers(RuntimeError):
    """Kafka has fewer brokers than each partition should have copies."""


class TopicsNotReady(RuntimeError):
    """Kafka did not create a topic, or did not name a leader for each of its partitions in time."""


@dataclass(frozen=True)
class Found:
    """Which topics exist. *partitions* is the event topics' common count, None while there is none of them."""

    partitions: int | None
    missing: tuple[str, ...]
    leaderless: tuple[str, ...]

    @property
    def complaint(self) -> str | None:
        """What to do before anything can be published, or None."""
        return f"no such topic: {', '.join(self.missing)}: run `python -m producer topics`" if self.missing else None


async def find(admin: AIOKafkaAdminClient, topics: Topics) -> Found:
    """Return what Kafka holds of *topics*. Raises UnequalPartitions, and KafkaError when no broker answers."""
    described = {
        topic["topic"]: topic["partitions"]
        for topic in await admin.describe_topics(list(topics.all))
        if not topic["error_code"] or topic["partitions"]
    }
    counts = {topic: len(described[topic]) for topic in topics.events if topic in described}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{topic} has {count}" for topic, count in counts.items())
        raise UnequalPartitions(f"the event topics need equal partition counts, but {listed}")
    return Found(
        partitions=next(iter(counts.values()), None),
        missing=tuple(topic for topic in topics.all if topic not in described),
        leaderless=tuple(topic for topic, parts in described.items() if any(part["leader"] < 0 for part in parts)),
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


async def create(admin: AIOKafkaAdminClient, topics: Topics, plan: Plan, clock: Clock) -> None:
    """Create what *plan* names; return when every partition of all *topics* has a leader. Raises TopicsNotReady."""
    answer = await admin.create_topics([_new_topic(name, topics, plan) for name in plan.create])
    for name, code, *message in answer.topic_errors:
        # 36: another `topics` was faster.
        if code not in (0, 36):
            why = (message[0] if message else None) or for_code(code).__name__
            raise TopicsNotReady(f"{name}: {why}")
    deadline = clock.monotonic() + LEADERS_WITHIN_S
    # Kafka answers before the new topics can be used.
    while (found := await find(admin, topics)).missing or found.leaderless:
        if clock.monotonic() > deadline:
            raise TopicsNotReady(f"no leader yet: {', '.join(found.missing + found.leaderless)}; try again")
        await clock.sleep(POLL_S)


def _new_topic(name: str, topics: Topics, plan: Plan) -> NewTopic:
    asked = asked_of(name, topics, plan.replication_factor)
    config = {setting: one.value for setting, one in asked.items()}
    return NewTopic(name, plan.partitions, plan.replication_factor, topic_configs=config)
