"""The relay's lock: who may hold it beside whom, and what a standby says of the holder."""

from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from producer.relay import lock
from producer.relay.lock import Holder
from producer.relay.outbox import Outbox
from runtime.clock import SystemClock
from schemas.outbox import RELAY_LOCK
from tests.polling import eventually

# A relay of a version before the table's own lock takes this one alone.
OLDER_TAKES = "SELECT pg_try_advisory_lock(%s)"
TABLES = "SELECT pg_try_advisory_lock('outbox_events'::regclass::oid::bigint::bit(32)::int, 2)"
ROLES = """
CREATE ROLE lock_relay LOGIN; CREATE ROLE lock_backend LOGIN; GRANT pg_monitor TO lock_relay;
GRANT SELECT, DELETE ON outbox_events, outbox_published TO lock_relay; GRANT INSERT ON outbox_events TO lock_backend;
"""


@pytest.fixture
async def roles(database_url: str) -> AsyncIterator[None]:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as administrator:
        await administrator.execute(ROLES)
        yield
        await administrator.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename IN ('lock_relay', 'lock_backend')"
        )
        await administrator.execute("DROP OWNED BY lock_relay, lock_backend; DROP ROLE lock_relay, lock_backend")


@pytest.fixture
def relay_url(roles: None, database_url: str) -> str:
    return database_url.replace("//postgres@", "//lock_relay@")


@pytest.fixture
async def relay(relay_url: str) -> AsyncIterator[Outbox]:
    async with await Outbox.connect(lambda: relay_url, SystemClock()) as outbox:
        yield outbox


@pytest.fixture
async def backend(relay: Outbox, database_url: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    url = database_url.replace("//postgres@", "//lock_backend@")
    async with await psycopg.AsyncConnection.connect(url, autocommit=True, application_name="a shop") as connection:
        yield connection


async def takes(connection: psycopg.AsyncConnection[Any], statement: str) -> bool:
    row = await (
        await connection.execute(statement.encode(), [RELAY_LOCK] if statement == OLDER_TAKES else None)
    ).fetchone()
    assert row is not None
    return bool(row[0])


async def test_a_relay_and_one_of_an_older_version_exclude_each_other(
    relay: Outbox, backend: psycopg.AsyncConnection[Any]
) -> None:
    assert await relay.become_active()
    assert not await takes(backend, OLDER_TAKES)

    await relay.close()

    await eventually(lambda: takes(backend, OLDER_TAKES), saying="the lock is free")


async def test_a_relay_stands_by_while_one_of_an_older_version_is_active(
    relay: Outbox, backend: psycopg.AsyncConnection[Any]
) -> None:
    assert await takes(backend, OLDER_TAKES)
    assert not await relay.become_active()

    await backend.close()

    await eventually(relay.become_active, saying="the relay is active")


async def test_a_relay_that_can_not_have_both_locks_leaves_the_other_to_older_versions(
    relay: Outbox, backend: psycopg.AsyncConnection[Any], database_url: str
) -> None:
    assert await takes(backend, TABLES)
    assert not await relay.become_active()

    async with await psycopg.AsyncConnection.connect(database_url) as older:
        assert await takes(older, OLDER_TAKES)


@pytest.mark.parametrize("held", [OLDER_TAKES, TABLES], ids=["the old lock", "the table's lock"])
@pytest.mark.parametrize("name", ["a shop", "nerava-relay"])
async def test_a_holder_that_is_no_relay_is_named_and_neither_ended_nor_taken_for_one(
    relay: Outbox, backend: psycopg.AsyncConnection[Any], held: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "DEPOSE", lock.DEPOSE.replace(f"secs => {lock.SILENT_FOR_S}", "secs => 0"))
    await backend.execute("SELECT set_config('application_name', %s, false)", [name])
    assert await takes(backend, held)
    assert not await relay.become_active()

    assert await relay.holder() == Holder(backend.info.backend_pid, "lock_backend", name, may_be_a_relay=False)
    # pg_monitor shows how long the connection has been silent; to end it needs another right.
    assert not await relay.depose()


async def test_another_relay_is_named_as_one(relay: Outbox, relay_url: str) -> None:
    async with await Outbox.connect(lambda: relay_url, SystemClock()) as other:
        assert await other.become_active()
        assert not await relay.become_active()
        holder = await relay.holder()

    assert holder is not None
    assert (holder.role, holder.application_name, holder.may_be_a_relay) == ("lock_relay", "nerava-relay", True)
    await eventually(relay.become_active, saying="the other relay is gone")
    assert await relay.holder() is None
