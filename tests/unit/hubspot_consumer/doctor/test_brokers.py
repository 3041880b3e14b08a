"""The brokers and the copies on them: who answers, what can't be written, what is not in sync."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from hubspot_consumer.doctor import brokers as module
from hubspot_consumer.doctor.brokers import brokers_answer, replicas
from runtime.kafka.admission import KafkaAway
from runtime.kafka.broker import Broker

SERVERS = "a:1, b:2, c:3"


class Admin:
    """An admin client of a cluster that lists the brokers *numbers*."""

    def __init__(self, *numbers: int) -> None:
        self._numbers = numbers

    async def describe_cluster(self) -> Mapping[str, Any]:
        return {"brokers": [{"node_id": one, "host": f"broker-{one}", "port": 9092} for one in self._numbers]}


def partition(number: int, replicas: Sequence[int], isr: Sequence[int] | None = None) -> Mapping[str, Any]:
    return {"partition": number, "leader": replicas[0], "replicas": replicas, "isr": replicas if isr is None else isr}


@pytest.fixture
def dead(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The hosts that do not answer."""
    dead: set[str] = set()

    async def why_not(broker: Broker) -> KafkaAway | None:
        return KafkaAway("Connection refused") if broker.host in dead else None

    monkeypatch.setattr(module, "why_not", why_not)
    return dead


async def test_brokers_that_are_listed_and_dead_are_told_with_what_can_not_be_written(dead: set[str]) -> None:
    described = {"lifecycle.nova_earned": [partition(0, [1, 2, 3]), partition(1, [2, 3, 1])]}

    answer = await brokers_answer(Admin(1, 2, 3), {}, described, SERVERS)
    assert (answer.level, answer.what) == ("ok", f"3 brokers, reached at {SERVERS}")

    dead.add("broker-2")
    answer = await brokers_answer(Admin(1, 2, 3), {}, described, SERVERS)
    assert answer.level == "warn"
    assert answer.what == "2 of 3 brokers answer, and not broker-2:9092 (Connection refused)"

    dead.add("broker-3")
    answer = await brokers_answer(Admin(1, 2, 3), {}, described, SERVERS)
    assert answer.level == "fail"
    assert answer.what.startswith("1 of 3 brokers answer, and not broker-2:9092 (Connection refused), broker-3:9092")
    assert answer.what.endswith(": 2 partitions can't be written")


async def test_a_broker_that_kafka_lists_no_more_is_told_by_the_copies_that_it_had(dead: set[str]) -> None:
    answer = await brokers_answer(Admin(1, 3), {}, {"t": [partition(0, [1, 2, 3], [1, 3])]}, SERVERS)

    assert (answer.level, answer.what) == ("warn", "2 of 3 brokers answer, and not number 2")


async def test_one_copy_is_gone_with_its_broker(dead: set[str]) -> None:
    answer = await brokers_answer(Admin(1, 3), {}, {"t": [partition(0, [2]), partition(1, [1])]}, SERVERS)

    assert (answer.level, answer.what) == (
        "fail",
        "2 of 3 brokers answer, and not number 2: 1 partition can't be written",
    )


@pytest.mark.parametrize(
    ("isr", "level", "what"),
    [
        ([1, 2, 3], "ok", "in sync, of 1 partition"),
        ([1, 2], "warn", "1 partition of 1 with copies that are not in sync: t-0"),
        ([1], "fail", "too few copies in sync to be written: t-0"),
    ],
)
async def test_copies_that_are_not_in_sync_are_told(
    monkeypatch: pytest.MonkeyPatch, isr: list[int], level: str, what: str
) -> None:
    offsets = {"__consumer_offsets": [partition(0, [1, 2, 3])]}
    monkeypatch.setattr(module, "look", lambda *_: answered(offsets))

    answer = await replicas(Admin(), {"t": [partition(0, [1, 2, 3], isr)]}, 3)

    assert (answer.level, answer.what) == (level, what)


@pytest.mark.parametrize(("factor", "level"), [(1, "ok"), (3, "warn")])
async def test_the_groups_offsets_need_as_many_copies_as_our_topics(
    monkeypatch: pytest.MonkeyPatch, factor: int, level: str
) -> None:
    monkeypatch.setattr(module, "look", lambda *_: answered({"__consumer_offsets": [partition(0, [1])]}))

    answer = await replicas(Admin(), {"t": [partition(0, [1, 2, 3])]}, factor)

    assert answer.level == level
    if level == "warn":
        assert answer.what.startswith("__consumer_offsets has 1 copies, and KAFKA_REPLICATION_FACTOR is 3")


async def answered(described: Mapping[str, Any]) -> Mapping[str, Any]:
    return described
