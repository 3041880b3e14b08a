"""The required settings of our topics, and how topics on Kafka differ from them. Existing topics are never altered."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code

from runtime.kafka.topics import Partitions, look
from schemas.dead_letters import LARGEST_DEAD_LETTER
from schemas.topics import EVENT_RETENTION_MS, Topics

ENDLESS: Final = "-1"
# With this many replicas one may fail while two still take writes.
REPLICAS_TO_SPARE: Final = 3
# Holds are much shorter, and the short retention keeps their topic small.
HOLDS_RETENTION_MS: Final = 3_600_000
HOLDS_SEGMENT_MS: Final = 600_000
# Kafka's default of `max.message.bytes`.
KAFKAS_OWN_LARGEST: Final = 1_048_588


@dataclass(frozen=True)
class Asked:
    """The requirement for one setting: the value for new topics, its description, and the check of other values."""

    value: str
    words: str
    takes: Callable[[str], bool]


@dataclass(frozen=True)
class Difference:
    """A setting that is not as required. *found* is None if the brokers do not report it.

    *value* is the value to set, None if the difference is not corrected by a setting.
    """

    setting: str
    found: str | None
    asked: str
    value: str | None = None

    @property
    def is_certain(self) -> bool:
        return self.found is not None

    def __str__(self) -> str:
        found = self.found if self.is_certain else "unknown, because the brokers do not report it"
        return f"{self.setting} is {found}; should be {self.asked}"


def asked_of(name: str, topics: Topics, replicas: int) -> Mapping[str, Asked]:
    """Return the requirements for a topic with *replicas* replicas, by Kafka's names of the settings."""
    return {**_kept(name, topics), "min.insync.replicas": _in_sync(replicas)}


def _kept(name: str, topics: Topics) -> Mapping[str, Asked]:
    if name in topics.compacted:
        return {"cleanup.policy": _exactly("compact")}
    if name == topics.holds:
        return {
            "cleanup.policy": _exactly("delete"),
            "retention.ms": _at_least(HOLDS_RETENTION_MS, "an hour", endless=True),
            "segment.ms": Asked(str(HOLDS_SEGMENT_MS), f"at most {HOLDS_SEGMENT_MS}", _at_most_a_segment),
            # The clocks of runs and workers differ, so the brokers' time is used.
            "message.timestamp.type": _exactly("LogAppendTime"),
        }
    kept: dict[str, Asked] = {"cleanup.policy": _exactly("delete"), "retention.bytes": _exactly(ENDLESS)}
    if name == topics.dead_letters:
        largest = _at_least(LARGEST_DEAD_LETTER, "8 MiB")
        return {**kept, "retention.ms": _exactly(ENDLESS), "max.message.bytes": largest}
    if name == topics.actions:
        return {**kept, "retention.ms": _exactly(ENDLESS)}
    kept |= {"retention.ms": _at_least(EVENT_RETENTION_MS, "30 days, for a replay", endless=True)}
    return {**kept, "max.message.bytes": _of_an_event()} if name in topics.events else kept


def most_copies(there: Mapping[str, Partitions], topics: Topics) -> int:
    """Return the largest number of replicas of the event topics in *there*, 0 if there are none."""
    return max((_copies(there[name]) for name in topics.events if name in there), default=0)


async def differences(
    admin: AIOKafkaAdminClient, topics: Topics, names: Collection[str], *, partitions: int, replication_factor: int
) -> dict[str, list[Difference]]:
    """Return, for each of *names* that exists, how it differs from the requirements. Raises KafkaError.

    Event topics and the topic of dead letters need at least *partitions* and *replication_factor*. The others need at
    least one partition, and as many replicas as the event topics.
    """
    there = await look(admin, {*names, *topics.events})
    of_events = most_copies(there, topics)
    there = {name: there[name] for name in names if name in there}
    # The brokers report each topic's own values and their defaults.
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in there]
    settings = await _configs(admin, resources) if resources else {}
    return {
        name: [
            *_layout(name, topics, parts, of_events, partitions=partitions, replication_factor=replication_factor),
            *_differing(asked_of(name, topics, _copies(parts)), settings[name]),
        ]
        for name, parts in there.items()
    }


def _layout(  # noqa: PLR0913 - the found state, and the required one
    name: str, topics: Topics, parts: Partitions, of_events: int, *, partitions: int, replication_factor: int
) -> Iterator[Difference]:
    if leaderless := [str(part["partition"]) for part in parts if part["leader"] < 0]:
        yield Difference("leader", f"missing of partition {', '.join(leaderless)}", "there")
    if name in topics.published and len(parts) < partitions:
        yield Difference("partitions", str(len(parts)), f"{partitions} (KAFKA_PARTITIONS)")
    copies = _copies(parts)
    if copies < replication_factor:
        yield Difference("replication", str(copies), f"{replication_factor} (KAFKA_REPLICATION_FACTOR)")
    elif name not in topics.published and copies < of_events:
        yield Difference("replication", str(copies), f"{of_events} (as the event topics have)")


def _differing(asked: Mapping[str, Asked], found: Mapping[str, str | None]) -> Iterator[Difference]:
    for setting, one in asked.items():
        value = found.get(setting)
        if value is None:
            yield Difference(setting, None, one.words)
        elif not one.takes(value):
            yield Difference(setting, value, one.words, one.value)


def verdict(name: str, found: Sequence[Difference], bootstrap_servers: str, *, created: bool = False) -> Iterator[str]:
    """Return lines that describe a topic's differences, with the Kafka command that corrects its settings."""
    word = "differs" if any(one.is_certain for one in found) else "created" if created else "exists"
    yield f"{word:<9}{name}"
    yield from (f"{'':<9}{one}" for one in found)
    if changes := ",".join(f"{one.setting}={one.value}" for one in found if one.value is not None):
        command = f"kafka-configs.sh --bootstrap-server {bootstrap_servers} --alter --topic {name}"
        yield f"{'':<9}-> {command} --add-config {changes}"


async def creates_what_is_asked_about(admin: AIOKafkaAdminClient) -> bool | None:
    """Return whether a broker has `auto.create.topics.enable`, None if no broker reports it. Raises KafkaError."""
    values = await broker_values(admin, "auto.create.topics.enable")
    return "true" in values if values else None


async def broker_values(admin: AIOKafkaAdminClient, setting: str) -> set[str]:
    """Return the values of a broker's setting, as far as brokers report it. Raises KafkaError."""
    brokers = (await admin.describe_cluster())["brokers"]
    asked = [ConfigResource(ConfigResourceType.BROKER, str(one["node_id"])) for one in brokers]
    reported = await _configs(admin, asked)
    return {value for settings in reported.values() if (value := settings.get(setting)) is not None}


async def _configs(admin: AIOKafkaAdminClient, asked: list[ConfigResource]) -> dict[str, dict[str, str | None]]:
    found: dict[str, dict[str, str | None]] = {}
    for answer in await admin.describe_configs(asked):
        for code, message, _, name, entries in answer.resources:
            if code:
                raise for_code(code)(message)
            found[name] = {entry[0]: entry[1] for entry in entries}
    return found


def _copies(parts: Partitions) -> int:
    return min(len(part["replicas"]) for part in parts)


def _in_sync(replicas: int) -> Asked:
    if replicas < REPLICAS_TO_SPARE:
        return _exactly("1")
    # With fewer, the failure of one broker could lose acknowledged records; with all, it would stop the relay.
    return Asked("2", "2, or more but not all", lambda value: 2 <= int(value) < replicas)


def _exactly(value: str) -> Asked:
    return Asked(value, value, value.__eq__)


def _of_an_event() -> Asked:
    # Brokers may take more by default. A larger record could not be set aside whole, and a compressed one may need a
    # thousand times its size in the memory of its readers.
    return Asked(
        str(KAFKAS_OWN_LARGEST),
        f"at most {LARGEST_DEAD_LETTER} (8 MiB, as a dead letter has)",
        lambda value: int(value) <= LARGEST_DEAD_LETTER,
    )


def _at_most_a_segment(value: str) -> bool:
    return int(value) <= HOLDS_SEGMENT_MS


def _at_least(number: int, words: str, *, endless: bool = False) -> Asked:
    return Asked(
        str(number),
        f"at least {number} ({words})" + (f", or {ENDLESS}" if endless else ""),
        lambda value: int(value) >= number or (endless and value == ENDLESS),
    )
