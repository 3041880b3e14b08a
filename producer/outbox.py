"""The outbox as the relay sees it: one connection, which holds the lock that makes a relay the active one."""

from collections.abc import Collection, Sequence
from types import TracebackType
from typing import Final, Self

import psycopg

from producer.signals import ASLEEP_LOCK, CHANNEL
from producer.waves import Row
from schemas.outbox import RELAY_LOCK, RELAY_NAME

CONNECT_WITHIN_S: Final = 5
# Of a batch's payloads: what a relay holds in memory at most, but for one row.
LARGEST_BATCH: Final = 16 * 1024 * 1024

# Never `position > the last seen`: positions become visible in the order of commits, which is another one.
HEAD: Final = """
WITH head AS MATERIALIZED (
    SELECT position, id::text, aggregateid, type, sequence, payload::text AS value, traceparent
    FROM outbox_events WHERE position <> ALL(%(without)s) ORDER BY position LIMIT %(rows)s
), measured AS (
    SELECT *, sum(coalesce(octet_length(value), 0)) OVER (ORDER BY position)
        - coalesce(octet_length(value), 0) AS before FROM head
)
SELECT position, id, aggregateid, type, sequence, value, traceparent FROM measured
WHERE before <= %(octets)s ORDER BY position
"""


class NotMigrated(RuntimeError):
    """The database has no outbox."""

    def __init__(self) -> None:
        super().__init__("DATABASE_URL: the database has no outbox: run `python -m producer migrate`")


class Outbox:
    """A connection to the outbox. Any method raises psycopg.OperationalError once it is lost, and the role with it."""

    def __init__(self, connection: psycopg.AsyncConnection) -> None:
        self._connection: Final = connection

    @classmethod
    async def connect(cls, database_url: str) -> Self:
        """Return a connection. Raises psycopg.OperationalError when there is none, NotMigrated for a bare database."""
        connection = await psycopg.AsyncConnection.connect(
            database_url,
            autocommit=True,
            connect_timeout=CONNECT_WITHIN_S,
            application_name=RELAY_NAME,
            # A host that is gone without a word must not keep the role.
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
        )
        rows = await connection.execute("SELECT to_regclass('outbox_events') IS NOT NULL")
        if await rows.fetchone() != (True,):
            await connection.close()
            raise NotMigrated
        await connection.execute(f"LISTEN {CHANNEL}")
        return cls(connection)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connection.close()

    async def become_active(self) -> bool:
        """Return whether this relay is the active one from now on, until its connection ends.

        Asked again and again: a wait for the lock would be a statement that never ends, and hold back vacuum.
        """
        return await self._yes("SELECT pg_try_advisory_lock(%s)", RELAY_LOCK)

    async def head(self, rows: int, *, without: Collection[int] = ()) -> list[Row]:
        """Return the first rows in the order of their positions: at most *rows*, and about 16 MiB of payload."""
        parameters = {"rows": rows, "octets": LARGEST_BATCH, "without": list(without)}
        found = await self._connection.execute(HEAD, parameters)
        return [Row(*row) for row in await found.fetchall()]

    async def delete(self, positions: Sequence[int]) -> None:
        await self._connection.execute("DELETE FROM outbox_events WHERE position = ANY(%s)", [list(positions)])

    async def backlog(self, at_most: int) -> tuple[int, float]:
        """Return how many rows wait (counting no further than *at_most*), and the age of the first in seconds."""
        found = await self._connection.execute(
            "SELECT (SELECT count(*) FROM (SELECT FROM outbox_events LIMIT %s) AS waiting),"
            " coalesce((SELECT extract(epoch FROM now() - created_at)::float"
            " FROM outbox_events ORDER BY position LIMIT 1), 0)",
            [at_most],
        )
        row = await found.fetchone()
        return (row[0], row[1]) if row else (0, 0.0)

    async def fall_asleep(self) -> bool:
        """Return whether every transaction that commits from now on notifies us.

        False while a transaction is open that wrote before it could know that we sleep.
        """
        return await self._yes("SELECT pg_try_advisory_lock(%s)", ASLEEP_LOCK)

    async def notified(self, within_s: float) -> None:
        """Return when a writer notified us, or after *within_s* seconds."""
        async for _ in self._connection.notifies(timeout=within_s, stop_after=1):
            pass

    async def wake_up(self) -> None:
        """Writers need not notify us any more."""
        await self._connection.execute("SELECT pg_advisory_unlock(%s)", [ASLEEP_LOCK])

    async def _yes(self, question: str, lock: int) -> bool:
        row = await (await self._connection.execute(question, [lock])).fetchone()
        return row == (True,)
