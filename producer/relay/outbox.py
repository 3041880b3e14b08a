"""The outbox as the relay sees it: a connection that holds the relay's lock and reads, and another that deletes."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from types import TracebackType
from typing import Any, Final, Self

import psycopg

from producer.connections import connection_options
from producer.relay.row import Row
from producer.relay.signals import ASLEEP_LOCK, CHANNEL
from runtime.clock import Clock
from schemas.outbox import RELAY_LOCK, RELAY_NAME

# A statement that takes longer has met a database that is gone without a word.
STATEMENT_WITHIN_S: Final = 15.0
SETTLE_EVERY_S: Final = 0.5
# With what is forgotten at once: 1,000 rows a second at most.
FORGET_EVERY_S: Final = 5.0
# For how long after it asked the database, and was answered, a relay may take itself for the active one.
ACTIVE_FOR_S: Final = 2.0
# A standby ends the connection of an active relay that has asked nothing for so long: more than the above, so that
# that one has stopped publishing before.
SILENT_FOR_S: Final = 3.0
# Of a fetch's payloads, but for one row.
LARGEST_FETCH: Final = 16 * 1024 * 1024

# Never `position > the last seen`: positions become visible in the order of commits, which is another one. `after` is
# a position up to which nothing can appear any more; it spares the database the dead rows that the relay leaves behind.
HEAD: Final = """
WITH head AS MATERIALIZED (
    SELECT position, id::text, aggregateid, type, sequence, payload::text AS value, traceparent FROM outbox_events
    WHERE position > %(after)s AND position <> ALL(%(without)s::bigint[]) ORDER BY position LIMIT %(rows)s
), measured AS (
    SELECT *, coalesce(sum(octet_length(value))
        OVER (ORDER BY position ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before FROM head
)
SELECT position, id, aggregateid, type, sequence, value, traceparent FROM measured
WHERE before <= %(octets)s ORDER BY position
"""

DELETE: Final = "DELETE FROM outbox_events WHERE position = ANY(%s::bigint[])"

KEEP: Final = f"""
WITH published AS ({DELETE} RETURNING *)
INSERT INTO outbox_published
    (position, id, aggregatetype, aggregateid, type, sequence, payload, traceparent, created_at)
SELECT position, id, aggregatetype, aggregateid, type, sequence, payload, traceparent, created_at FROM published
"""  # noqa: S608 - no value is in it

# A little at a time: it shares a connection with what the relay deletes.
FORGET: Final = """
DELETE FROM outbox_published WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM outbox_published WHERE published_at < now() - make_interval(secs => %s)
    ORDER BY published_at LIMIT 5000))
"""

# Whoever inserts a row locks the table before it takes a position, until the end of its transaction.
WRITERS: Final = """
SELECT coalesce((SELECT max(position) FROM outbox_events), 0), array(
    SELECT DISTINCT virtualtransaction FROM pg_locks
    WHERE relation = 'outbox_events'::regclass AND mode = 'RowExclusiveLock'
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
"""

# Idle, or waiting for a client that does not read. A statement that takes its time is no silence.
DEPOSE: Final = """
SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND objsubid = 1
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
AND classid = (%(lock)s::bigint >> 32)::oid AND objid = (%(lock)s::bigint & 4294967295)::oid
AND (state <> 'active' OR wait_event_type = 'Client')
AND clock_timestamp() - state_change > make_interval(secs => %(silent_s)s)
"""


class NotMigrated(RuntimeError):
    """The database has no outbox, or an earlier one."""

    def __init__(self) -> None:
        super().__init__("DATABASE_URL: the database has no outbox of this version: run `python -m producer migrate`")


class Outbox:
    """Any method raises psycopg.OperationalError once a connection is lost, and the relay's role with it."""

    def __init__(self, database_url: str, reading: psycopg.AsyncConnection, clock: Clock, retention: timedelta) -> None:
        self._database_url: Final = database_url
        self._retention: Final = retention
        self._reading: Final = reading
        self._clock: Final = clock
        self._deleting: psycopg.AsyncConnection | None = None
        self._asked_at = clock.monotonic()
        self._settled_at = self._forgot_at = float("-inf")
        # Up to _settled nothing can appear that is not visible; up to _after we have read what was visible then.
        self._after = 0
        self._low_watermark = 0
        self._settling: tuple[int, frozenset[str]] = (0, frozenset())

    @classmethod
    async def connect(cls, database_url: str, clock: Clock, retention: timedelta = timedelta()) -> Self:
        """Return a connection; *retention* is how long published rows are kept.

        Raises psycopg.OperationalError when there is none, NotMigrated for one without the outbox as it is now.
        """
        outbox = cls(database_url, await _connection(database_url), clock, retention)
        async with AsyncExitStack() as failing:
            failing.push_async_callback(outbox.close)
            [[migrated]] = await outbox._read("SELECT to_regclass('outbox_published') IS NOT NULL")
            if not migrated:
                raise NotMigrated
            await outbox._read(f"LISTEN {CHANNEL}")
            failing.pop_all()
        return outbox

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        self._asked_at = float("-inf")
        await self._reading.close()
        if self._deleting is not None:
            await self._deleting.close()

    async def become_active(self) -> bool:
        """Return whether this relay is the active one from now on, until its connection ends.

        Asked again and again: a wait for the lock would be a statement that never ends, and hold back vacuum.
        """
        [[locked]] = await self._read("SELECT pg_try_advisory_lock(%s)", [RELAY_LOCK])
        if locked:
            self._deleting = await _connection(self._database_url)
        return bool(locked)

    async def depose(self) -> bool:
        """End the connection of an active relay that is silent: stopped, or cut from the database. Return if it was.

        The database lets us where both relays log in as the same role.
        """
        return bool(await self._read(DEPOSE, {"lock": RELAY_LOCK, "silent_s": SILENT_FOR_S}))

    @property
    def answers(self) -> bool:
        """Whether the database answered just now: a relay that can't tell may have been deposed."""
        return self._clock.monotonic() - self._asked_at < ACTIVE_FOR_S

    async def beat(self) -> None:
        """Show the database, and ourselves, that this relay is there."""
        await self._read("SELECT")

    async def raise_low_watermark(self) -> None:
        """Learn up to which position nothing can appear any more; now and then, since it costs more than it spares."""
        if self._clock.monotonic() - self._settled_at < SETTLE_EVERY_S:
            return
        self._settled_at = self._clock.monotonic()
        [[highest, writers]] = await self._execute(self._active, WRITERS)
        settling, awaited = self._settling
        if not awaited.intersection(writers):
            self._low_watermark, self._settling = settling, (highest, frozenset(writers))
        if not writers:
            self._low_watermark = highest

    async def head(self, rows: int, *, without: Iterable[int] = ()) -> list[Row]:
        """Return the first rows in the order of their positions: at most *rows*, and about 16 MiB of payload."""
        settled, after = self._low_watermark, self._after
        known = [position for position in without if position > after]
        parameters = {"rows": rows, "octets": LARGEST_FETCH, "without": _array(known), "after": after}
        found = await self._read(HEAD, parameters)
        if found:
            self._after = max(after, min(found[-1][0], settled))
        return [Row._make(row) for row in found]

    def rewind(self) -> None:
        """Read from the first row on again: for rows that were read and not published, or inserted by hand."""
        self._after = 0

    async def delete(self, positions: Sequence[int]) -> None:
        """Take these rows from the outbox; with a retention they go where they are kept."""
        await self._execute(self._active, KEEP if self._retention else DELETE, [_array(positions)])

    async def forget(self) -> None:
        """Delete some of what was published and kept for long enough; now and then."""
        if self._clock.monotonic() - self._forgot_at >= FORGET_EVERY_S:
            self._forgot_at = self._clock.monotonic()
            await self._execute(self._active, FORGET, [self._retention.total_seconds()])

    async def backlog(self, at_most: int) -> tuple[int, float]:
        """Return how many rows wait (counting no further than *at_most*), and the age of the first in seconds."""
        [[count, oldest_s]] = await self._read(
            "SELECT (SELECT count(*) FROM (SELECT FROM outbox_events ORDER BY position LIMIT %s) AS waiting),"
            " coalesce((SELECT extract(epoch FROM now() - created_at)::float"
            " FROM outbox_events ORDER BY position LIMIT 1), 0)",
            [at_most],
        )
        return count, oldest_s

    async def fall_asleep(self) -> bool:
        """Return whether every transaction that commits from now on notifies us.

        False while a transaction is open that wrote before it could know that we sleep.
        """
        [[locked]] = await self._read("SELECT pg_try_advisory_lock(%s)", [ASLEEP_LOCK])
        return bool(locked)

    async def notified(self, within_s: float) -> None:
        """Return when a writer notified us, or after *within_s* seconds."""
        async for _ in self._reading.notifies(timeout=within_s, stop_after=1):
            pass

    async def wake_up(self) -> None:
        """Writers need not notify us any more."""
        await self._read("SELECT pg_advisory_unlock(%s)", [ASLEEP_LOCK])

    @property
    def _active(self) -> psycopg.AsyncConnection:
        if self._deleting is None:
            raise RuntimeError("only the active relay deletes")
        return self._deleting

    async def _read(self, statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        asked_at = self._clock.monotonic()
        rows = await self._execute(self._reading, statement, parameters)
        self._asked_at = max(self._asked_at, asked_at)
        return rows

    async def _execute(
        self, connection: psycopg.AsyncConnection, statement: str, parameters: Any = None
    ) -> list[tuple[Any, ...]]:
        try:
            async with asyncio.timeout(STATEMENT_WITHIN_S):
                # Planned for its parameters: a plan for any would compare each row with each of `without`.
                cursor = await connection.execute(statement, parameters, prepare=False)
                return await cursor.fetchall() if cursor.description else []
        except TimeoutError:
            raise psycopg.OperationalError(f"no answer within {STATEMENT_WITHIN_S:g} s") from None


def _array(positions: Iterable[int]) -> str:
    # As text: psycopg's way of sending a list takes several times as long.
    return "{" + ",".join(map(str, positions)) + "}"


async def _connection(database_url: str) -> psycopg.AsyncConnection:
    return await psycopg.AsyncConnection.connect(
        database_url,
        autocommit=True,
        # A host that is gone without a word must not keep the role.
        **connection_options(RELAY_NAME, answer_within_s=STATEMENT_WITHIN_S),
    )
