"""`kill -9` of each container under load: every event arrives once, and in order."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sandbox.day.ledger import Ledger
from sandbox.simulator import Simulator
from schemas.topics import Topics
from tests.containers.composed import Composed
from tests.pipeline import Pipeline, moments
from tests.polling import eventually

DATABASE = "postgresql://nerava:nerava@127.0.0.1:5432/nerava"
PER_S = 60


@dataclass(frozen=True)
class Broker:
    """Kafka as programs outside the containers see it."""

    bootstrap_servers: str = "127.0.0.1:9092"


@pytest.fixture
async def containers(composed: Composed, tmp_path: Path) -> AsyncIterator[Pipeline]:
    composed.up("--scale consumer=2")
    async with Simulator("http://127.0.0.1:8090") as simulator:
        await Ledger.install(DATABASE)
        yield Pipeline(tmp_path, Broker(), DATABASE, simulator, Topics().prefix)


@pytest.mark.parametrize(("events", "kills"), [(1_500, 1), pytest.param(5_000, 2, marks=pytest.mark.chaos)])
async def test_every_event_arrives_once_and_in_order_whatever_container_is_killed(
    composed: Composed, containers: Pipeline, events: int, kills: int
) -> None:
    killed = [(service, number) for service, number in VICTIMS for _ in range(kills)]
    committing = asyncio.create_task(containers.commit(events, per_s=PER_S))

    for (service, number), moment in zip(killed, moments(13, len(killed), events), strict=True):
        await containers.until_arrived(moment, within_s=180)
        before = composed.container(service, number)["RestartCount"]
        composed.kill(service, number)

        async def restarted(service: str = service, number: int = number, before: int = before) -> bool:
            return bool(composed.container(service, number)["RestartCount"] > before)

        await eventually(restarted, every_s=0.2, saying=f"Docker starts {service} again")
    await committing
    composed.up("--scale consumer=2")
    await containers.all_accounted_for(within_s=180)

    findings, dead = await containers.findings()
    assert not findings
    assert {letter.reason for letter in dead} == {"invalid_envelope"}


# The simulator is HubSpot: it keeps what it holds in memory, and HubSpot does not forget.
VICTIMS = [("producer", 1), ("consumer", 1), ("kafka", 1), ("consumer", 2), ("postgres", 1)]
