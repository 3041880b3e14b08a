"""New connections: what is said of them, and that the metrics have every part of the producer's health."""

import re
from pathlib import Path
from typing import Any

import psycopg
import pytest

import producer
from producer.new_connections import NewConnections
from producer.telemetry import PARTS, Telemetry
from runtime.health import Health

TOLD = re.compile(r"""(?:\.(?:ill|well)\(|NewConnections\(health, )"(\w+)\"""")


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
def connections(health: Health) -> NewConnections:
    return NewConnections(health, "intake", "DATABASE_URL")


def test_one_refusal_alone_is_no_reason_to_be_unwell(health: Health, connections: NewConnections) -> None:
    for _ in range(3):
        connections.refused(psycopg.OperationalError("too many clients already"))
        assert health.unwell == {}
        connections.made()


def test_refusals_in_a_row_are_told_with_their_cause_until_a_connection_is_made(
    health: Health, connections: NewConnections
) -> None:
    for _ in range(2):
        connections.refused(psycopg.OperationalError("password authentication failed"))
    assert health.unwell == {
        "intake": "new connections are refused: DATABASE_URL: password authentication failed",
    }

    connections.made()

    assert health.unwell == {}


async def test_a_server_that_accepts_and_never_answers_counts_as_a_refusal(
    health: Health, connections: NewConnections, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Silent:
        async def __aenter__(self) -> Any:
            raise TimeoutError

        async def __aexit__(self, *_: object) -> None:
            pass

    async def connect(*_: object, **__: object) -> Silent:
        return Silent()

    monkeypatch.setattr(psycopg.AsyncConnection, "connect", connect)
    for _ in range(2):
        await connections.look(lambda: "", {})

    assert "no answer within 10 s" in health.unwell["intake"]


def test_every_part_of_the_producers_health_is_in_its_metrics_from_the_start() -> None:
    code = "".join(path.read_text() for path in Path(producer.__file__).parent.rglob("*.py"))
    telemetry = Telemetry()
    telemetry.shows(Health())

    assert set(TOLD.findall(code)) == set(PARTS)
    for part in PARTS:
        assert telemetry.registry.get_sample_value("producer_unwell", {"part": part}) == 0
