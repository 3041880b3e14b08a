"""The producer's watch: a backlog is told as it is seen, and not at all when nobody can see it."""

import math
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Self

import psycopg
import pytest

from producer.relay.reading_point import Writers
from producer.relay.watch import Watch
from producer.telemetry import Telemetry
from runtime.clock import SystemClock
from runtime.health import Health
from schemas.topics import Topics


class Outbox:
    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def looking(self) -> AbstractAsyncContextManager[None]:
        return nullcontext()

    async def writers(self) -> Writers:
        return Writers(0, exact=True, transactions=frozenset())

    async def backlog(self, at_most: int, _after: int) -> tuple[int, int, float]:
        return min(7, at_most), 1, 3.5


async def test_a_backlog_that_was_seen_is_forgotten_when_the_database_is_away() -> None:
    telemetry, away = Telemetry(), False

    async def connect() -> Any:
        if away:
            raise psycopg.OperationalError("no")
        return Outbox()

    watch = Watch(connect, {}, Topics(), clock=SystemClock(), health=Health(), telemetry=telemetry)

    def backlog() -> tuple[float | None, ...]:
        names = ("producer_backlog_events", "producer_backlog_oldest_seconds")
        return tuple(telemetry.registry.get_sample_value(name) for name in names)

    await watch._look_at_outbox()
    assert backlog() == (7, 3.5)

    away = True
    await watch._look_at_outbox()

    assert [math.isnan(value or 0) for value in backlog()] == [True, True]


class Unmigrated(Outbox):
    async def writers(self) -> Writers:
        raise psycopg.errors.UndefinedTable("relation outbox_events does not exist")


@pytest.mark.parametrize("accepted", [True, False])
async def test_only_a_connection_that_is_refused_counts_as_refused(accepted: bool) -> None:  # noqa: FBT001
    health = Health()

    async def connect() -> Any:
        if accepted:
            return Unmigrated()
        raise psycopg.OperationalError("password authentication failed")

    watch = Watch(connect, {}, Topics(), clock=SystemClock(), health=health, telemetry=Telemetry())
    for _ in range(3):
        await watch._look_at_outbox()

    assert health.is_ill("database_connections") is not accepted
