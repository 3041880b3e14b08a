"""Checks of the topics: whether they exist, with our partitions, copies and settings."""

from collections.abc import Awaitable
from typing import Any, Final, TypeVar

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from hubspot_consumer.doctor.examination import Answer, CannotTell, Look, count, fail, ok, warn
from hubspot_consumer.settings import Settings
from runtime.kafka.topic_settings import creates_what_is_asked_about, differences
from runtime.kafka.topics import Partitions, UnequalPartitions, equal_partitions

GET_TOPICS: Final = "run `python -m producer topics`"
GET_EQUAL: Final = "add partitions to those with fewer; workers read only the numbers that all topics have"
GET_SETTINGS: Final = "run `python -m producer topics`: it says what should be otherwise, and prints the commands"
GET_NO_AUTO_CREATE: Final = (
    "set it to false on the brokers: a program that only asks about a topic of ours creates it, with one "
    "partition and without our settings"
)

T = TypeVar("T")
Connected = Look[tuple[AIOKafkaAdminClient, Any]]
Described = Look[dict[str, Partitions]]


async def topics(described: Described, settings: Settings) -> Answer:
    """Check whether the event topics and the topic of dead letters exist, with a leader for each partition."""
    there, names = await described.known(), settings.topics
    if missing := [name for name in names.published if name not in there]:
        return fail(f"no such topic: {', '.join(missing)}", GET_TOPICS)
    leaderless = [name for name, parts in there.items() if any(one["leader"] < 0 for one in parts)]
    if leaderless:
        return fail(f"partitions without a leader: {', '.join(leaderless)}", "check the brokers")
    return ok(f"{len(names.events)} event topics, and {names.dead_letters}")


async def partitions(described: Described, settings: Settings) -> Answer:
    """Check whether the event topics are co-partitioned: the order of a contact's events depends on it."""
    there, events = await described.known(), settings.topics.events
    counts = {name: len(there[name]) for name in events if name in there}
    try:
        each = equal_partitions(counts)
    except UnequalPartitions as error:
        return fail(str(error), GET_EQUAL)
    if each is None:
        raise CannotTell("none of the event topics exists: see topics")
    if each == 1 < settings.kafka_partitions:
        return warn(
            "1 in each event topic, as if a broker created the topics by itself: only one worker can read",
            "run `python -m producer topics`: it names the topics that differ, and how",
        )
    return ok(f"{each} in each event topic")


async def topic_settings(connected: Connected, settings: Settings) -> Answer:
    """Check whether all existing topics have our settings, and enough copies."""
    (admin, _), names = await connected.known(), settings.topics
    factor = settings.kafka_replication_factor
    found = await _reported(differences(admin, names, names.all, partitions=1, replication_factor=factor))
    if not found:
        raise CannotTell("none of the topics exists: see topics")
    # The check `topics` reports a missing leader.
    differing = [
        f"{name}: {one}" for name, each in found.items() for one in each if one.is_certain and one.setting != "leader"
    ]
    if differing:
        return warn("; ".join(differing), GET_SETTINGS)
    return ok(f"as asked, of {count(len(found), 'topic')}")


async def auto_create(connected: Connected) -> Answer:
    """Check whether brokers create a topic when a client requests its metadata."""
    admin, _ = await connected.known()
    enabled = await _reported(creates_what_is_asked_about(admin))
    if enabled is None:
        raise CannotTell("the brokers do not report auto.create.topics.enable")
    if enabled:
        return warn("auto.create.topics.enable is true", GET_NO_AUTO_CREATE)
    return ok("auto.create.topics.enable is false")


async def _reported(asked: Awaitable[T]) -> T:
    try:
        return await asked
    except KafkaError as error:
        raise CannotTell(f"the brokers do not tell it ({type(error).__name__})") from error
