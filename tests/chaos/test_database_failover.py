"""PostgreSQL fails over to a synchronous standby: a URL with both hosts leads everybody there, and nothing is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import pytest

from producer.migrations import migrate
from sandbox.postgres import EmbeddedPostgres
from sandbox.services import Service
from tests.chaos.test_failover import CONTACTS, TYPES, Reader, reader
from tests.integration.relay.test_refusals import sent_to
from tests.outbox.intake import TOKEN
from tests.outbox.outbox import is_empty
from tests.outbox.relays import relay_of
from tests.outbox.standby import NAME, Standby
from tests.polling import eventually
from tests.samples import EMAIL

COMMITS_PER_S = 100
BACK_WITHIN_S = 20.0
TRACK = "SELECT track_lifecycle_event(%s, jsonb_build_object('email', %s::text))::text"
IN_SYNC = "SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'"
RUNS = [(1, 800), *((run, 5_000) for run in range(2, 6))]
__all__ = ["reader"]


@asynccontextmanager
async def in_sync(folder: Path) -> AsyncIterator[tuple[EmbeddedPostgres, Standby, str]]:
    """Yield a primary, its synchronous standby, and a URL of the outbox that has both."""
    async with (
        EmbeddedPostgres(folder / "primary") as primary,
        Standby(folder / "standby", primary.url) as standby,
        await psycopg.AsyncConnection.connect(primary.url, autocommit=True) as administrator,
    ):
        migrate(await primary.create_database(NAME))
        # The standby was copied before, so it waits for nobody when it takes over.
        await administrator.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        await administrator.execute("SELECT pg_reload_conf()")

        async def synchronous() -> bool:
            return await (await administrator.execute(IN_SYNC)).fetchone() == (True,)

        await eventually(synchronous, saying="the standby is synchronous")
        hosts = ",".join(server.url.split("@")[1].split("/")[0] for server in (primary, standby))
        yield primary, standby, f"postgresql://postgres@{hosts}/{NAME}?target_session_attrs=read-write"


@pytest.mark.chaos
@pytest.mark.parametrize(("run", "events"), RUNS)
async def test_nothing_is_lost_when_the_primary_dies_and_all_processes_find_the_new_one(
    tmp_path: Path, kafka: Any, topic_prefix: str, reader: Reader, days: list[str], run: int, events: int
) -> None:
    (tmp_path / "second").mkdir()
    async with in_sync(tmp_path) as (primary, standby, url):
        relays = [
            relay_of(folder, url, kafka, topic_prefix, PRODUCER_INTAKE_TOKEN=TOKEN)
            for folder in (tmp_path, tmp_path / "second")
        ]
        try:
            for relay in relays:
                await relay.launch_and_wait()
            backend = asyncio.create_task(_commit(url, events))
            caller = asyncio.create_task(_call(relays[0], events // 20))
            await eventually(
                lambda: _read(reader, Random(run).randrange(100, events // 3)), saying="some are published"
            )
            before = len(reader.records)
            began = asyncio.get_running_loop().time()
            await primary.kill()
            await standby.promote()
            await eventually(lambda: _read(reader, before + 50), within_s=BACK_WITHIN_S, saying="events are published")
            back_s = asyncio.get_running_loop().time() - began

            committed = await backend
            await caller
            await eventually(lambda: is_empty(standby.url_of(NAME)), within_s=60, saying="the outbox is empty")
            await eventually(lambda: _have(reader, committed), saying="all committed events are read")
            for relay in relays:
                await eventually(relay.healthy, saying="health is well")
                assert relay.running
        finally:
            for relay in relays:
                await relay.kill()

    sequences = reader.first_sequences()
    assert all(found == list(range(1, len(found) + 1)) for found in sequences.values())
    # The caller sent each key until it was taken, and each key is one event.
    assert len(sequences[EMAIL.encode()]) == events // 20
    repeats = len(reader.records) - len({record.id for record in reader.records})
    days.append(
        f"synchronous failover of PostgreSQL, {len(committed)} events: back after {back_s:.1f} s, {repeats} repeats"
    )


async def _commit(url: str, events: int) -> set[bytes]:
    """Commit so many events, each in a transaction of its own, and return the ids of those that surely committed."""
    loop, ids, connection = asyncio.get_running_loop(), set(), None
    for number in range(events):
        due = loop.time() + 1 / COMMITS_PER_S
        try:
            if connection is None:
                connection = await psycopg.AsyncConnection.connect(url, autocommit=True, connect_timeout=2)
            contact = f"contact{number % CONTACTS}@example.com"
            row = await (await connection.execute(TRACK, [TYPES[number % len(TYPES)], contact])).fetchone()
        except psycopg.OperationalError:
            # The backend gives its event up, as most do.
            if connection is not None:
                await connection.close()
            connection = None
        else:
            assert row is not None
            ids.add(row[0].encode())
        await asyncio.sleep(due - loop.time())
    if connection is not None:
        await connection.close()
    assert len(ids) > events / 2
    return ids


async def _call(relay: Service, keys: int) -> None:
    """Send so many events to the intake, each until it is taken."""
    for number in range(keys):
        await eventually(partial(_taken, relay, f"key-{number}"), saying="the intake takes the event")


async def _taken(relay: Service, key: str) -> bool:
    return (await sent_to(relay, key))[0] == 202


async def _read(reader: Reader, number: int) -> bool:
    return len(reader.records) >= number


async def _have(reader: Reader, ids: set[bytes]) -> bool:
    return ids <= {record.id for record in reader.records}
