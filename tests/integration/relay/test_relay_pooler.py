"""A relay behind PgBouncer: it needs sessions of its own, finds out that it has none, and goes on in session mode."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from producer.relay import session
from producer.relay.outbox import Outbox
from producer.relay.session import NoSession, Unusable
from runtime.clock import SystemClock
from sandbox.stack import create_topics
from schemas.topics import Topics
from tests.commands import run
from tests.foreign.pgbouncer import pooled
from tests.integration.outbox.test_pooler import left_behind_in
from tests.integration.relay.test_refusals import sent_to, until_all_is_well, until_unwell
from tests.outbox.intake import TOKEN
from tests.outbox.outbox import is_empty
from tests.outbox.relays import relay_of
from tests.polling import eventually

TRACK = "SELECT track_lifecycle_event('wallet_pass_installed', jsonb_build_object('email', %s::text))"
RELAYS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'nerava-relay'"
ADVICE = "leads through a pooler in transaction mode"


@pytest.fixture
async def topics(kafka: Any, topic_prefix: str) -> None:
    await create_topics(kafka.bootstrap_servers, Topics(topic_prefix), 3)


@pytest.fixture
def transactions_url(tmp_path: Path, database_url: str) -> Iterator[str]:
    with pooled(tmp_path / "transactions", database_url) as url:
        yield url


@pytest.fixture
def sessions_url(tmp_path: Path, database_url: str) -> Iterator[str]:
    with pooled(tmp_path / "sessions", database_url, mode="session", size=12) as url:
        yield url


@pytest.fixture(params=[(1, False), (2, False), (8, False), (2, True), (8, True)], ids=str)
def any_pool(request: pytest.FixtureRequest, tmp_path: Path, database_url: str) -> Iterator[str]:
    """A pooler in transaction mode with so many connections, which clients get in turn or the last one first."""
    size, in_turn = request.param
    with pooled(tmp_path / "pool", database_url, size=size, round_robin=in_turn) as url:
        yield url


@pytest.fixture
def one_session_url(tmp_path: Path, database_url: str) -> Iterator[str]:
    with pooled(tmp_path / "one", database_url, mode="session", size=1) as url:
        yield url


@asynccontextmanager
async def busy(url: str, clients: int) -> AsyncIterator[None]:
    """Keep other clients of the pooler busy, with short transactions."""

    async def use() -> None:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True, prepare_threshold=None) as connection:
            while True:
                await connection.execute("SELECT pg_sleep(random() * 0.005)")

    works = [asyncio.create_task(use()) for _ in range(clients)]
    yield
    for work in works:
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work


@pytest.mark.parametrize("clients", [0, 4, 12])
async def test_a_shared_session_is_found_in_any_pool_and_nothing_is_left_in_it(any_pool: str, clients: int) -> None:
    async with busy(any_pool, clients):
        for _ in range(10):
            with pytest.raises(NoSession, match=f"{ADVICE}.*direct URL .RELAY_DATABASE_URL."):
                await Outbox.connect(lambda: any_pool, SystemClock())
    for _ in range(8):
        assert await left_behind_in(any_pool) == []


async def test_a_session_of_ones_own_is_known_as_such(database_url: str, sessions_url: str) -> None:
    for url in (database_url, sessions_url):
        async with busy(url, 4):
            for _ in range(10):
                async with await Outbox.connect(lambda url=url: url, SystemClock()) as outbox:  # type: ignore[misc]
                    assert await outbox.become_active()
                    await outbox.beat()


async def test_a_pool_in_session_mode_that_is_too_small_is_told_as_such(
    one_session_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "STATEMENT_WITHIN_S", 1.0)

    with pytest.raises(Unusable, match=r"no answer within 1 s of a second connection: .* it is too small"):
        await Outbox.connect(lambda: one_session_url, SystemClock())


async def test_a_session_that_is_shared_later_is_noticed_at_the_next_beat(database_url: str) -> None:
    async with await Outbox.connect(lambda: database_url, SystemClock()) as outbox:
        await outbox.beat()
        outbox._pid = 1

        with pytest.raises(NoSession):
            await outbox.beat()


@pytest.mark.parametrize("command", ["relay", "serve"])
async def test_a_relay_behind_a_transaction_pooler_ends_with_one_line_that_says_what_to_set(
    transactions_url: str, kafka: Any, topic_prefix: str, command: str, topics: None
) -> None:
    environment = {
        "DATABASE_URL": transactions_url,
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": topic_prefix,
        "PRODUCER_INTAKE_TOKEN": TOKEN,
        "PRODUCER_PORT": "0",
    }

    for name in ("DATABASE_URL", "RELAY_DATABASE_URL"):
        done = await run("producer", command, environment={**environment, name: transactions_url})

        assert done.code == 2
        [line] = [line for line in done.errors.splitlines() if ADVICE in line]
        assert line.startswith(f"{name}: ")
        assert "give the relay a direct URL (RELAY_DATABASE_URL)" in line
        assert "Traceback" not in done.errors
    assert await left_behind_in(transactions_url) == []


async def test_with_a_direct_url_of_its_own_the_relay_publishes_while_the_intake_uses_the_pooler(
    tmp_path: Path, transactions_url: str, database_url: str, kafka: Any, topic_prefix: str, topics: None
) -> None:
    more = {"RELAY_DATABASE_URL": database_url, "PRODUCER_INTAKE_TOKEN": TOKEN}
    service = relay_of(tmp_path, transactions_url, kafka, topic_prefix, **more)
    await service.launch_and_wait()
    try:
        for number in range(20):
            assert (await sent_to(service, f"key-{number}"))[0] == 202

        await until_all_is_well(service, database_url)
        assert (await service.health())[1]["relay"] == "active"
        assert await left_behind_in(transactions_url) == []
    finally:
        await service.kill()


async def test_in_session_mode_one_relay_is_active_and_is_notified_at_once(
    tmp_path: Path, sessions_url: str, database_url: str, kafka: Any, topic_prefix: str, topics: None
) -> None:
    (tmp_path / "second").mkdir()
    first, second = (relay_of(folder, sessions_url, kafka, topic_prefix) for folder in (tmp_path, tmp_path / "second"))
    try:
        await first.launch_and_wait()
        await eventually(lambda: _is(first, "active"), saying="the first relay is active")
        await second.launch_and_wait()
        assert await _is(second, "standby")
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as backend:
            await backend.execute(TRACK, ["ada@example.com"])
            await eventually(lambda: is_empty(database_url), saying="the event is published")

            await first.kill()
            await eventually(lambda: _is(second, "active"), saying="the second relay takes over")
            await backend.execute(TRACK, ["ada@example.com"])
            await eventually(lambda: is_empty(database_url), saying="the next event is published")
    finally:
        await first.kill()
        await second.kill()


async def test_a_url_that_comes_to_lead_through_a_pooler_stops_publishing_until_it_does_not(
    tmp_path: Path, transactions_url: str, database_url: str, kafka: Any, topic_prefix: str, topics: None
) -> None:
    file = tmp_path / "url"
    file.write_text(database_url)
    service = relay_of(tmp_path, transactions_url, kafka, topic_prefix, RELAY_DATABASE_URL_FILE=str(file))
    await service.launch_and_wait()
    try:
        file.write_text(transactions_url)
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as administrator:
            await administrator.execute(RELAYS)
            await until_unwell(service, "database", f"RELAY_DATABASE_URL: {ADVICE}", "RELAY_DATABASE_URL")
            assert await left_behind_in(transactions_url) == []
            await administrator.execute(TRACK, ["ada@example.com"])

        file.write_text(database_url)
        await until_all_is_well(service, database_url)
    finally:
        await service.kill()


async def _is(service: Any, role: str) -> bool:
    return bool((await service.health())[1].get("relay") == role)
