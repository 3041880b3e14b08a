"""A PostgreSQL server with an asynchronous standby, to which it fails over: what that did not get by then is lost."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg

from producer import migrations
from sandbox.postgres import NOBODY, EmbeddedPostgres, let_through, program
from tests.chaos.proxy import Proxy
from tests.polling import eventually

NAME = "outbox"


class Replicated:
    """An outbox on the primary and its standby; `url` leads to the one that takes writes."""

    def __init__(self, primary: EmbeddedPostgres, standby: "Standby", service: Proxy, replication: Proxy) -> None:
        self._primary, self._standby = primary, standby
        self._service, self._replication = service, replication
        self.url = service.url

    async def cut(self) -> None:
        """Let the standby get all that was committed until now, and nothing that will be."""
        await self._standby.until_replayed(self._primary.url)
        self._replication.cut()

    async def fail_over(self) -> None:
        """Kill the primary, and let the standby take writes in its place."""
        self._service.lead_to(self._standby.url_of(NAME))
        await self._primary.kill()
        await self._standby.promote()


@asynccontextmanager
async def replicated_outbox(directory: Path) -> AsyncIterator[Replicated]:
    async with (
        EmbeddedPostgres(directory / "primary") as primary,
        Proxy(primary.url) as replication,
        Standby(directory / "standby", replication.url) as standby,
        Proxy(await primary.create_database(NAME)) as service,
    ):
        migrations.migrate(primary.url_of(NAME))
        yield Replicated(primary, standby, service, replication)


class Standby(EmbeddedPostgres):
    """A copy of the server at *primary_url*, from which it streams, once started, all that is committed there."""

    def __init__(self, directory: Path, primary_url: str) -> None:
        super().__init__(directory)
        self._primary_url = primary_url

    async def start(self) -> None:
        backup = (program("pg_basebackup"), "-d", self._primary_url, "-D", self._data)
        process = await asyncio.create_subprocess_exec(*backup, "--write-recovery-conf", "--checkpoint=fast")
        assert await process.wait() == 0
        if os.geteuid() == 0:
            let_through(self._data)
            for path in (self._data, *self._data.rglob("*")):
                shutil.chown(path, NOBODY, NOBODY)
        await super().start()

    async def until_replayed(self, primary_url: str) -> None:
        """Return when all that the primary has committed by now is here too."""
        [end] = await _one(primary_url, "SELECT pg_current_wal_lsn()::text")
        replayed = f"SELECT pg_last_wal_replay_lsn() >= '{end}'"
        await eventually(lambda: self._says(replayed), saying="the standby has replayed the primary's transactions")

    async def promote(self) -> None:
        """Let the standby take writes, with the transactions that it has."""
        assert await self._says("SELECT pg_promote()")

    async def _says(self, query: str) -> bool:
        return await _one(self.url, query) == (True,)


async def _one(url: str, query: str) -> tuple[object, ...]:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        row = await (await connection.execute(query.encode())).fetchone()
    assert row is not None
    return row
