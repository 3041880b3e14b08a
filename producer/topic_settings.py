"""What is asked of each topic on Kafka, and how far what is there is from it. Nothing that exists is altered."""

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
# So many copies that one may be lost while two are still written.
REPLICAS_TO_SPARE: Final = 3


@dataclass(frozen=True)
class Asked:
    """Of one setting: what a new topic gets, what else is as good, and both in words."""

    value: str
    words: str
    takes: Callable[[str], bool]


@dataclass(frozen=True)
class Difference:
    """A setting that is not as asked. *value* is what to set it to, None where that is not done by a setting."""

    setting: str
    found: str
    asked: str
    value: str | None = None

    def __str__(self) -> str:
        return f"{self.setting} is {self.found}; should be {self.asked}"


def asked_of(name: str, topics: Topics, replicas: int) -> Mapping[str, Asked]:
    """Return what is asked of a topic that has *replicas* copies, by Kafka's names of the settings."""
    if name in topics.compacted:
        return {"cleanup.policy": _exactly("compact"), "min.insync.replicas": _in_sync(replicas)}
    kept = {"cleanup.policy": _exactly("delete"), "retention.bytes": _exactly(ENDLESS)}
    if name == topics.dead_letters:
        largest = _at_least(LARGEST_DEAD_LETTER, "8 MiB")
        kept |= {"retention.ms": _exactly(ENDLESS), "max.message.bytes": largest}
    else:
        kept |= {"retention.ms": _at_least(EVENT_RETENTION_MS, "30 days, for a replay", endless=True)}
    return {**kept, "min.insync.replicas": _in_sync(replicas)}


async def differences(
    admin: AIOKafkaAdminClient, topics: Topics, names: Collection[str], *, partitions: int, replication_factor: int
) -> dict[str, list[Difference]]:
    """Return for each of *names* that exists how it differs from what is asked. Raises KafkaError."""
    there = await look(admin, names)
    settings = await _settings(admin, there) if there else {}
    found: dict[str, list[Difference]] = {}
    for name, parts in there.items():
        replicas = min(len(part["replicas"]) for part in parts)
        at_least = 1 if name in topics.compacted else partitions
        found[name] = [
            *_layout(parts, replicas, partitions=at_least, replication_factor=replication_factor),
            *(
                Difference(setting, settings[name][setting], asked.words, asked.value)
                for setting, asked in asked_of(name, topics, replicas).items()
                if not asked.takes(settings[name][setting])
            ),
        ]
    return found


def _layout(parts: Partitions, replicas: int, *, partitions: int, replication_factor: int) -> list[Difference]:
    leaderless = [str(part["partition"]) for part in parts if part["leader"] < 0]
    found = [Difference("leader", f"missing of partition {', '.join(leaderless)}", "there")] if leaderless else []
    if len(parts) < partitions:
        found += [Difference("partitions", str(len(parts)), f"{partitions} (KAFKA_PARTITIONS)")]
    if replicas < replication_factor:
        found += [Difference("replication", str(replicas), f"{replication_factor} (KAFKA_REPLICATION_FACTOR)")]
    return found


def verdict(name: str, found: Sequence[Difference], bootstrap_servers: str) -> Iterator[str]:
    """Return the lines that tell a person of a topic, with the command of Kafka's that makes its settings as asked."""
    yield f"{'differs' if found else 'exists':<9}{name}"
    yield from (f"{'':<9}{one}" for one in found)
    if changes := ",".join(f"{one.setting}={one.value}" for one in found if one.value is not None):
        command = f"kafka-configs.sh --bootstrap-server {bootstrap_servers} --alter --topic {name}"
        yield f"{'':<9}-> {command} --add-config {changes}"


async def _settings(admin: AIOKafkaAdminClient, names: Collection[str]) -> dict[str, dict[str, str]]:
    """Return every setting of each topic, its own or the brokers' default."""
    found: dict[str, dict[str, str]] = {}
    for answer in await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names]):
        for code, message, _, name, entries in answer.resources:
            if code:
                raise for_code(code)(message)
            found[name] = {entry[0]: entry[1] for entry in entries}
    return found


def _in_sync(replicas: int) -> Asked:
    if replicas < REPLICAS_TO_SPARE:
        return _exactly("1")
    # Fewer lose what was acknowledged with the one broker that has it; all of them stop the relay with any broker.
    return Asked("2", "2, or more but not all", lambda value: 2 <= int(value) < replicas)


def _exactly(value: str) -> Asked:
    return Asked(value, value, value.__eq__)


def _at_least(number: int, words: str, *, endless: bool = False) -> Asked:
    return Asked(
        str(number),
        f"at least {number} ({words})" + (f", or {ENDLESS}" if endless else ""),
        lambda value: int(value) >= number or (endless and value == ENDLESS),
    )
