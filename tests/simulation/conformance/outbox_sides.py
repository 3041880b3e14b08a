"""The two sides of the outbox's conformance tests: the model, and a database of a real server."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final, Protocol
from unittest.mock import patch

import psycopg

from producer.relay.outbox import Outbox
from schemas.outbox import RELAY_LOCK
from schemas.topics import Topics
from tests.chaos.proxy import Proxy
from tests.clock import LoopClock
from tests.outbox import restored
from tests.simulation.loop import Process, SimulatedLoop
from tests.simulation.network import Network
from tests.simulation.outbox.connection import DATABASE, PATCHES
from tests.simulation.outbox.database import Database, Session
from tests.simulation.outbox.statements import OF_THE_TABLE

AT: Final = datetime(2026, 11, 24, 9, tzinfo=UTC)
TABLES: Final = "SELECT pg_try_advisory_lock('outbox_events'::regclass::oid::bigint::bit(32)::int, 2)"

Events = Iterable[tuple[str, dict[str, Any]]]


class Writing(Protocol):
    """A transaction of the backend."""

    async def track(self, event_type: str, payload: dict[str, Any]) -> str:
        """Track an event that occurred AT."""

    async def track_several(self, events: Events) -> list[str]: ...

    async def commit(self) -> None: ...

    async def rollback(self) -> None: ...


class Side(Protocol):
    """A migrated database, in which nothing is."""

    async def begin(self) -> Writing:
        """Begin a transaction."""

    async def outbox(self, retention: timedelta = timedelta()) -> Outbox:
        """Connect a relay's outbox."""

    async def kill(self, outbox: Outbox) -> None:
        """End the outbox's process, or all of its connections."""

    async def cut(self, outbox: Outbox) -> None:
        """Let nothing more pass between the outbox and the database, not even the end of a connection."""

    async def try_lock(self, *, of_the_table: bool) -> bool:
        """Let another connection try to take one of the relay's two locks. It keeps the lock."""

    async def published(self) -> list[int]:
        """Return the positions in `outbox_published`."""

    async def back_up(self) -> None: ...

    async def restore(self) -> None: ...


Scenario = Callable[[Side], Coroutine[Any, Any, None]]


def run_on_model(scenario: Scenario) -> None:
    chance = Random(1)
    loop = SimulatedLoop(chance)
    database = Database(loop, Network(loop, chance), chance, AT)
    loop.world.context.run(DATABASE.set, database)
    [(name, connection)] = PATCHES
    with patch(name, connection):
        loop.run(scenario(_Model(loop, database)))


def run_on_server(database_url: str, scenario: Scenario) -> None:
    async def run() -> None:
        async with AsyncExitStack() as stack:
            await scenario(_Server(database_url, stack))

    asyncio.run(run())


class _ModelWriting:
    def __init__(self, database: Database) -> None:
        self._transaction: Final = database.begin()

    async def track(self, event_type: str, payload: dict[str, Any]) -> str:
        return await self._transaction.track(event_type, payload, AT)

    async def track_several(self, events: Events) -> list[str]:
        return await self._transaction.track_several(events)

    async def commit(self) -> None:
        self._transaction.commit()

    async def rollback(self) -> None:
        self._transaction.rollback()


class _Model:
    def __init__(self, loop: SimulatedLoop, database: Database) -> None:
        self._loop: Final = loop
        self._database: Final = database
        self._processes: Final[dict[Outbox, Process]] = {}
        self._backup = database.backup()

    async def begin(self) -> Writing:
        return _ModelWriting(self._database)

    async def outbox(self, retention: timedelta = timedelta()) -> Outbox:
        process = Process("relay")
        outbox: Outbox = await self._loop.start(process, Outbox.connect(lambda: "", LoopClock(), retention))
        self._processes[outbox] = process
        return outbox

    async def kill(self, outbox: Outbox) -> None:
        self._loop.kill(self._processes[outbox])

    async def cut(self, outbox: Outbox) -> None:
        self._database.network.cut.add((self._processes[outbox], "database"))

    async def try_lock(self, *, of_the_table: bool) -> bool:
        session = Session(self._loop.world, "another")
        self._database.log_in(session)
        return self._database.try_lock(session, OF_THE_TABLE if of_the_table else RELAY_LOCK)

    async def published(self) -> list[int]:
        return [row[0] for _, row in self._database.tables.published]

    async def back_up(self) -> None:
        self._backup = self._database.backup()

    async def restore(self) -> None:
        self._database.restore(self._backup)


class _ServerWriting:
    def __init__(self, connection: psycopg.AsyncConnection) -> None:
        self._connection: Final = connection

    async def track(self, event_type: str, payload: dict[str, Any]) -> str:
        [(event_id,)] = await self._ids(
            "SELECT track_lifecycle_event(%s, %s::jsonb, %s)::text", event_type, json.dumps(payload), AT
        )
        return str(event_id)

    async def track_several(self, events: Events) -> list[str]:
        told = [{"event_type": event_type, "payload": payload} for event_type, payload in events]
        ids = await self._ids("SELECT unnest(track_lifecycle_events(%s::jsonb))::text", json.dumps(told))
        return [str(event_id) for (event_id,) in ids]

    async def commit(self) -> None:
        await self._connection.commit()
        await self._connection.close()

    async def rollback(self) -> None:
        await self._connection.rollback()
        await self._connection.close()

    async def _ids(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return await (await self._connection.execute(statement.encode(), parameters)).fetchall()


class _Server:
    def __init__(self, database_url: str, stack: AsyncExitStack) -> None:
        self._url: Final = database_url
        self._stack: Final = stack
        self._proxies: Final[dict[Outbox, Proxy]] = {}
        self._restored: Final = restored.Outbox(database_url, {}, {}, Topics())

    async def begin(self) -> Writing:
        return _ServerWriting(await self._stack.enter_async_context(_connected(self._url)))

    async def outbox(self, retention: timedelta = timedelta()) -> Outbox:
        proxy = await self._stack.enter_async_context(Proxy(self._url))
        outbox = await self._stack.enter_async_context(await Outbox.connect(lambda: proxy.url, LoopClock(), retention))
        self._proxies[outbox] = proxy
        return outbox

    async def kill(self, outbox: Outbox) -> None:
        for connection in (outbox._reading, outbox._deleting):
            if connection is not None:
                with socket.socket(fileno=os.dup(connection.fileno())) as shared:
                    shared.shutdown(socket.SHUT_RDWR)

    async def cut(self, outbox: Outbox) -> None:
        self._proxies[outbox].cut()

    async def try_lock(self, *, of_the_table: bool) -> bool:
        connection = await self._stack.enter_async_context(_connected(self._url))
        statement = TABLES if of_the_table else f"SELECT pg_try_advisory_lock({RELAY_LOCK})"
        return (await (await connection.execute(statement.encode())).fetchone()) == (True,)

    async def published(self) -> list[int]:
        async with _connected(self._url) as connection:
            found = await connection.execute("SELECT position FROM outbox_published ORDER BY published_at, position")
            return [position for (position,) in await found.fetchall()]

    async def back_up(self) -> None:
        await self._restored.back_up()

    async def restore(self) -> None:
        await self._restored.restore()


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[psycopg.AsyncConnection]:
    connection = await psycopg.AsyncConnection.connect(url)
    try:
        yield connection
    finally:
        await connection.close()
