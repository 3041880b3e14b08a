"""A request that any broker can answer goes to another one where one can't be reached."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaTimeoutError, NodeNotReadyError

from runtime.kafka.further_tries import asked_again
from runtime.kafka.patches.other_brokers import ask_other_brokers
from tests.clock import OwnedClock


@pytest.fixture(autouse=True)
def ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AIOKafkaAdminClient, "_send_request", AIOKafkaAdminClient._send_request)
    ask_other_brokers()


class Cluster:
    """An admin client of three brokers, of which *dead* can't be reached, and whom it asked."""

    def __init__(self, dead: Sequence[int]) -> None:
        self.asked: list[int] = []
        self._dead = dead
        self.admin: Any = AIOKafkaAdminClient.__new__(AIOKafkaAdminClient)
        self.admin._client = self
        self.cluster = SimpleNamespace(brokers=lambda: [SimpleNamespace(nodeId=number) for number in (1, 2, 3)])

    async def send(self, node: int, request: str) -> str:
        self.asked.append(node)
        if node in self._dead:
            raise NodeNotReadyError
        return request


async def test_a_broker_that_is_there_answers_whatever_others_are_gone() -> None:
    for _ in range(20):
        cluster = Cluster(dead=[1, 2])
        assert await cluster.admin._send_request("?") == "?"
        assert cluster.asked[-1] == 3
        assert len(set(cluster.asked)) == len(cluster.asked)


async def test_without_any_broker_the_fault_is_raised() -> None:
    cluster = Cluster(dead=[1, 2, 3])

    with pytest.raises(NodeNotReadyError):
        await cluster.admin._send_request("?")

    assert sorted(cluster.asked) == [1, 2, 3]


async def test_a_request_to_a_certain_broker_goes_to_no_other() -> None:
    cluster = Cluster(dead=[2])

    with pytest.raises(NodeNotReadyError):
        await cluster.admin._send_request("?", 2)

    assert cluster.asked == [2]


@pytest.mark.parametrize("takes_s", [0, 3])
@pytest.mark.parametrize("faults", [0, 1, 3, 9])
async def test_a_question_is_asked_again_for_some_seconds_and_no_longer(faults: int, takes_s: float) -> None:
    clock, asked = OwnedClock(), 0

    async def ask() -> str:
        nonlocal asked
        asked += 1
        clock.advance(takes_s)
        if asked <= faults:
            raise KafkaTimeoutError
        return "answer"

    most = 2 if takes_s else 4
    if faults < most:
        assert await asked_again(ask, clock) == "answer"
    else:
        with pytest.raises(KafkaTimeoutError):
            await asked_again(ask, clock)
    assert asked == min(faults + 1, most)
    assert clock.monotonic() < 9
