"""Each scenario runs on both sides."""

import asyncio
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from sandbox.kafka import EmbeddedKafka
from sandbox.listener import Plain
from tests.simulation.conformance import kafka_sides
from tests.simulation.conformance.kafka_sides import FIRST_REBALANCE_AFTER_S
from tests.simulation.conformance.outbox_sides import Scenario, run_on_model, run_on_server


@pytest.fixture(params=["model", "server"])
def run(request: pytest.FixtureRequest) -> Callable[[Scenario], None]:
    """Run a scenario of the outbox."""
    if request.param == "model":
        return run_on_model
    return partial(run_on_server, request.getfixturevalue("database_url"))


@pytest.fixture(scope="session")
def short_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """A broker that allows short sessions, waits for further members of an empty group, and may be suspended."""
    lines = [
        f"group.initial.rebalance.delay.ms={int(1000 * FIRST_REBALANCE_AFTER_S)}",
        "group.min.session.timeout.ms=100",
    ]
    broker = EmbeddedKafka(tmp_path_factory.mktemp("short-kafka"), listener=Plain(properties="\n".join(lines)))
    asyncio.run(broker.start())
    yield broker
    asyncio.run(broker.resume())
    asyncio.run(broker.stop())


# The scenarios take the server most of a minute.
@pytest.fixture(params=["model", pytest.param("server", marks=pytest.mark.chaos)])
def run_on_kafka(request: pytest.FixtureRequest) -> Callable[[kafka_sides.Scenario], None]:
    """Run a scenario of Kafka."""
    if request.param == "model":
        return kafka_sides.run_on_model
    return partial(kafka_sides.run_on_server, request.getfixturevalue("short_kafka"))
