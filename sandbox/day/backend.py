"""The backend: commits a day's events, each in its own transaction, through `track_event`."""

import asyncio
import json
import zlib
from collections.abc import Sequence
from typing import Final

from sqlalchemy import make_url, text
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from producer import track_event
from sandbox.day.traffic import Happening

# Transactions run concurrently, as a real backend's do; those of one contact run one after another.
CLIENTS: Final = 4
RETRY_S: Final = 0.2
TRACK_UNCHECKED: Final = text("SELECT track_lifecycle_event(:event_type, CAST(:payload AS jsonb), :occurred_at)")


class Backend:
    """Commits *per_s* transactions a second to the database at *database_url*; `committed` counts them.

    *prepares* is false where the URL leads through a pooler in transaction mode.
    """

    def __init__(self, database_url: str, per_s: float, *, prepares: bool = True) -> None:
        self._engine: Final[AsyncEngine] = create_async_engine(
            make_url(database_url).set(drivername="postgresql+psycopg"),
            pool_size=CLIENTS,
            connect_args={} if prepares else {"prepare_threshold": None},
        )
        self._per_s: Final = per_s
        self.committed = 0

    async def play(self, day: Sequence[Happening]) -> None:
        """Commit the whole day."""
        begin = asyncio.get_running_loop().time()
        shares: list[list[tuple[float, Happening]]] = [[] for _ in range(CLIENTS)]
        for number, happening in enumerate(day):
            shares[zlib.crc32(happening.contact.encode()) % CLIENTS].append((begin + number / self._per_s, happening))
        try:
            async with asyncio.TaskGroup() as clients:
                for share in shares:
                    clients.create_task(self._commit_all(share))
        finally:
            await self._engine.dispose()

    async def _commit_all(self, share: Sequence[tuple[float, Happening]]) -> None:
        loop = asyncio.get_running_loop()
        async with AsyncSession(self._engine) as session:
            for due, happening in share:
                if (wait := due - loop.time()) > 0:
                    await asyncio.sleep(wait)
                await self._commit_at_last(session, happening)
                self.committed += 1

    async def _commit_at_last(self, session: AsyncSession, happening: Happening) -> None:
        while True:
            try:
                return await self._commit(session, happening)
            except (OperationalError, InterfaceError, InternalError) as error:
                # psycopg's own InternalError is for what it can't read: a pooler's word that it has lost the server.
                if isinstance(error, InternalError) and getattr(error.orig, "sqlstate", None):
                    raise
                # The database was killed. If the commit succeeded without an answer, the retry adds another event.
                await asyncio.sleep(RETRY_S)

    async def _commit(self, session: AsyncSession, happening: Happening) -> None:
        async with session.begin():
            if happening.poisoned:
                parameters = {
                    "event_type": happening.event_type,
                    "payload": json.dumps(happening.payload),
                    "occurred_at": happening.occurred_at,
                }
                await session.execute(TRACK_UNCHECKED, parameters)
            else:
                await track_event(session, happening.event_type, happening.payload, occurred_at=happening.occurred_at)
