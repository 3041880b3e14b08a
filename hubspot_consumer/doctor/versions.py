"""Checks of versions: whether the servers' are promised, and whether all workers run one that is as new as the doctor.

Outside the promised range, nobody has tried whether events arrive.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient

from hubspot_consumer.doctor.examination import Answer, CannotTell, Look, count, ok, warn
from hubspot_consumer.kafka.group import Member
from runtime.kafka.broker_versions import NEWEST_KNOWN, BrokerVersion, ask_version, is_redpanda
from runtime.program import UNTOLD, program_version


class Promised(NamedTuple):
    """The oldest and the newest version, as its numbers: (14,) or (3, 3)."""

    oldest: tuple[int, ...]
    newest: tuple[int, ...]

    def __str__(self) -> str:
        return f"{dotted(self.oldest)} to {dotted(self.newest)}"

    def includes(self, version: tuple[int, ...]) -> bool:
        """Return whether *version*, which may have more numbers, is promised."""
        return self.oldest <= version[: len(self.oldest)] <= self.newest


POSTGRESQL: Final = Promised((14,), (18,))
KAFKA: Final = Promised((3, 3), (4, 4))


REPLACE_WORKERS: Final = (
    "replace the older workers before the console and the backends change: docs/releasing.md says what goes first"
)


def dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


# At the start of a connection a pooler may tell another server's version than that of the one that answers.
SERVER_VERSION: Final = "SELECT current_setting('server_version_num')::int"
NOT_TRIED: Final = (
    "docs/versions.md says which versions were tried; move to one of them, or try yours before you rely on it"
)


def postgres_version(number: int) -> Answer:
    """Return the finding about PostgreSQL's `server_version_num`, such as 140023."""
    version = divmod(number, 10_000)
    if POSTGRESQL.includes(version):
        return ok(f"PostgreSQL {dotted(version)}; {POSTGRESQL} are promised")
    return warn(f"PostgreSQL {dotted(version)}; only {POSTGRESQL} are promised", NOT_TRIED)


async def kafka_version(connected: Look[tuple[AIOKafkaAdminClient, Any]]) -> Answer:
    """Check whether the brokers that answer are of promised releases."""
    admin, _ = await connected.known()
    described = await admin.describe_cluster()
    if is_redpanda(described["cluster_id"]):
        return warn(f"Redpanda, which says no version; Kafka {KAFKA} are promised", NOT_TRIED)
    asked = (ask_version(admin, broker["node_id"]) for broker in described["brokers"])
    answers = await asyncio.gather(*asked, return_exceptions=True)
    return brokers_answer({answer for answer in answers if isinstance(answer, BrokerVersion)})


def brokers_answer(brokers: set[BrokerVersion]) -> Answer:
    """Return the finding about what the brokers tell of their versions."""
    if not brokers:
        raise CannotTell("no broker answers: see kafka")
    releases = sorted(broker.release for broker in brokers if broker.release)
    named = [f"Kafka {dotted(one)}{' or later' if one == NEWEST_KNOWN else ''}" for one in releases]
    unnamed = {broker.since_3_3 for broker in brokers if not broker.release}
    if True in unnamed:
        named.append(f"Kafka {dotted(KAFKA.oldest)} or later in ZooKeeper mode, which says no release")
    if False in unnamed:
        named.append(f"Kafka before {dotted(KAFKA.oldest)}, or another server with its protocol")
    if all(map(KAFKA.includes, releases)) and False not in unnamed:
        return ok(f"{' and '.join(named)}; {KAFKA} are promised")
    return warn(f"{' and '.join(named)}; only {KAFKA} are promised", NOT_TRIED)


def workers_answer(members: Sequence[Member]) -> Answer:
    """Return the finding about the versions of the workers in the group."""
    if not members:
        raise CannotTell("no worker is in the group: see group")
    numbers = Counter(member.version for member in members)
    newest_first = sorted(numbers, key=lambda version: (_release(version), version or ""), reverse=True)
    named = [f"{count(numbers[version], 'worker')} of {version or UNTOLD}" for version in newest_first]
    newest, ours = newest_first[0], program_version()
    if _release(newest) < _release(ours):
        return warn(f"{' and '.join(named)}; this doctor is newer, {ours}", REPLACE_WORKERS)
    if len(numbers) == 1:
        return ok(named[0])
    older = [member.name for member in members if _release(member.version) < _release(newest)]
    which = f"; the older ones are {', '.join(older)}" if older else ""
    return warn(f"{' and '.join(named)}{which}", REPLACE_WORKERS)


def _release(version: str | None) -> tuple[int, ...]:
    """Return the numbers of a version without its commit, which has no order."""
    found = re.match(r"\d+(\.\d+)*", version or "")
    return tuple(map(int, found[0].split("."))) if found else ()
