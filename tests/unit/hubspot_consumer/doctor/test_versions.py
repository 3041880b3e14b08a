"""The doctor compares the servers' versions with those that are promised, and says what can't be known."""

import re
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import IncompatibleBrokerVersion, KafkaConnectionError
from aiokafka.protocol.types import UnsignedVarInt32

from hubspot_consumer.doctor import versions as doctor_versions
from hubspot_consumer.doctor.examination import CannotTell, Level, Look
from hubspot_consumer.doctor.versions import (
    KAFKA,
    POSTGRESQL,
    REPLACE_WORKERS,
    brokers_answer,
    kafka_version,
    postgres_version,
    workers_answer,
)
from hubspot_consumer.kafka import group
from hubspot_consumer.kafka.group import Member
from runtime.kafka.broker_versions import BrokerVersion, _ApiVersions, _ApiVersionsAnswer

ROOT = Path(__file__).parents[4]


def answer(features: bytes = b"", *, delegation_token: int = 2) -> BytesIO:
    """Return what a broker answers, with one request of its list."""
    apis = bytes([2]) + (38).to_bytes(2) + (1).to_bytes(2) + delegation_token.to_bytes(2) + b"\0"
    tags = b"\x01\x00" + UnsignedVarInt32.encode(len(features)) + features if features else b"\0"
    return BytesIO(b"\0\0" + apis + b"\0\0\0\0" + tags)


def levels(newest: int) -> bytes:
    """Return the supported features as Kafka 3.3.2 and 4.4.0 had them, but for the newest level."""
    return b"\x02\x11metadata.version\x00\x01" + newest.to_bytes(2) + b"\x00"


@pytest.mark.parametrize(
    ("newest", "release"),
    [(3, (3, 2)), (7, (3, 3)), (11, (3, 5)), (19, (3, 7)), (21, (3, 9)), (25, (4, 0)), (27, (4, 1)), (33, (4, 4))],
)
def test_a_brokers_release_is_known_by_the_levels_of_its_metadata(newest: int, release: tuple[int, int]) -> None:
    assert _ApiVersionsAnswer.decode(answer(levels(newest))).release == release


@pytest.mark.parametrize(("delegation_token", "since_3_3"), [(2, False), (3, True)])
def test_without_levels_the_version_of_a_request_tells_3_3_and_later(delegation_token: int, since_3_3: bool) -> None:  # noqa: FBT001
    told = _ApiVersionsAnswer.decode(answer(delegation_token=delegation_token))

    assert told == BrokerVersion(None, since_3_3)


def test_a_broker_without_that_version_of_the_request_is_not_asked() -> None:
    with pytest.raises(IncompatibleBrokerVersion):
        _ApiVersions().prepare({18: (0, 2)})


@pytest.mark.parametrize(
    ("brokers", "level", "words"),
    [
        ({(3, 3)}, "ok", "Kafka 3.3; "),
        ({(3, 9), (4, 0)}, "ok", "Kafka 3.9 and Kafka 4.0; "),
        ({(3, 2)}, "warn", "Kafka 3.2; only "),
        ({(3, 2), (3, 3)}, "warn", "Kafka 3.2 and Kafka 3.3; only "),
        ({(4, 5)}, "warn", "Kafka 4.5 or later; only "),
    ],
)
def test_releases_of_kafka_outside_the_promised_ones_are_a_warning(
    brokers: set[tuple[int, int]], level: Level, words: str
) -> None:
    found = brokers_answer({BrokerVersion(release, since_3_3=True) for release in brokers})

    assert found.level == level
    assert found.what.startswith(words)
    assert str(KAFKA) in found.what


def test_what_says_no_release_is_named_as_what_it_may_be() -> None:
    assert brokers_answer({BrokerVersion(None, since_3_3=True)})[:2] == (
        "ok",
        "Kafka 3.3 or later in ZooKeeper mode, which says no release; 3.3 to 4.4 are promised",
    )
    assert brokers_answer({BrokerVersion(None, since_3_3=False)})[:2] == (
        "warn",
        "Kafka before 3.3, or another server with its protocol; only 3.3 to 4.4 are promised",
    )
    with pytest.raises(CannotTell):
        brokers_answer(set())


class Admin:
    """A cluster of these answers: by broker's number, a version or the error that comes instead."""

    def __init__(self, cluster_id: str | None, **answers: Any) -> None:
        self._cluster_id = cluster_id
        self._answers = answers

    async def describe_cluster(self) -> dict[str, Any]:
        return {"cluster_id": self._cluster_id, "brokers": [{"node_id": node} for node in self._answers]}

    async def _send_request_to_node(self, node: str, _: Any) -> Any:
        if isinstance(self._answers[node], Exception):
            raise self._answers[node]
        return self._answers[node]


def connected_to(admin: Admin) -> Look[Any]:
    async def connect() -> Any:
        return admin, SimpleNamespace()

    return Look(connect)


async def test_redpanda_is_named_by_its_clusters_id() -> None:
    found = await kafka_version(connected_to(Admin("redpanda.5dacc8b1-7e31-4a52-a9ae-2a2e2f6d3c11")))

    assert found.level == "warn"
    assert found.what.startswith("Redpanda, which says no version")


async def test_brokers_that_do_not_answer_hide_none_that_do() -> None:
    admin = Admin("abc", one=KafkaConnectionError(), two=BrokerVersion((4, 1), since_3_3=True), three=TimeoutError())

    assert (await kafka_version(connected_to(admin))).what.startswith("Kafka 4.1;")


async def test_a_broker_too_old_for_the_question_is_older_than_promised() -> None:
    admin = Admin(None, one=IncompatibleBrokerVersion())

    assert (await kafka_version(connected_to(admin))).what.startswith("Kafka before 3.3")


@pytest.mark.parametrize(
    ("number", "level", "words"),
    [
        (130_023, "warn", "PostgreSQL 13.23; only "),
        (140_000, "ok", "PostgreSQL 14.0; "),
        (180_004, "ok", "PostgreSQL 18.4; "),
        (190_000, "warn", "PostgreSQL 19.0; only "),
    ],
)
def test_versions_of_postgresql_outside_the_promised_ones_are_a_warning(number: int, level: Level, words: str) -> None:
    found = postgres_version(number)

    assert found.level == level
    assert found.what.startswith(words)
    assert str(POSTGRESQL) in found.what


def test_the_documents_promise_the_versions_that_the_doctor_compares_with() -> None:
    promise = f"PostgreSQL {POSTGRESQL} and Kafka {KAFKA}"

    assert promise in (ROOT / "README.md").read_text()
    versions = (ROOT / "docs" / "versions.md").read_text()
    assert f"| PostgreSQL | {POSTGRESQL} |" in versions
    assert f"| Kafka | {KAFKA} |" in versions


@pytest.mark.parametrize(
    ("versions", "level", "what"),
    [
        (["0.1.0 (abc1234)"] * 2, "ok", "2 workers of 0.1.0 (abc1234)"),
        (["0.10.0"], "ok", "1 worker of 0.10.0"),
        ([None] * 3, "warn", "3 workers of an older version; this doctor is newer, 0.1.0"),
        (["0.0.9", None], "warn", "1 worker of 0.0.9 and 1 worker of an older version; this doctor is newer, 0.1.0"),
        (["0.9.0", "0.10.0", "0.9.0"], "warn", "1 worker of 0.10.0 and 2 workers of 0.9.0; the older ones are w0, w2"),
        ([None, "0.1.0"], "warn", "1 worker of 0.1.0 and 1 worker of an older version; the older ones are w0"),
        # Commits have no order.
        (["0.1.0 (1234567)", "0.1.0 (abc1234)"], "warn", "1 worker of 0.1.0 (abc1234) and 1 worker of 0.1.0 (1234567)"),
        (["unknown", "0.1.0"], "warn", "1 worker of 0.1.0 and 1 worker of unknown; the older ones are w0"),
    ],
)
def test_workers_of_several_versions_or_older_than_the_doctor_are_a_warning_that_says_which(
    versions: list[str | None], level: Level, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_versions, "program_version", lambda: "0.1.0")
    members = [Member(f"w{number}", frozenset(), version) for number, version in enumerate(versions)]

    answer = workers_answer(members)

    assert answer == (level, what, REPLACE_WORKERS if level == "warn" else "")


def test_a_group_without_workers_tells_no_version() -> None:
    with pytest.raises(CannotTell, match="see group"):
        workers_answer([])


@pytest.mark.parametrize("version", ["0.1.0", "0.1.0 (abc1234)", "0.1.0 (abc1234-dirty)", "unknown (abc1234)"])
def test_a_worker_tells_kafka_its_version_in_the_name_of_its_client(
    version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group, "program_version", lambda: version)

    # As Kafka's quotas and metrics take a name.
    assert re.fullmatch(r"[\w.-]+", group.client_id())
    assert group.told_version(group.client_id()) == version


@pytest.mark.parametrize("client", ["faust-0.15.3", "aiokafka-0.14.0", ""])
def test_a_worker_of_an_earlier_version_tells_none(client: str) -> None:
    assert group.told_version(client) is None
