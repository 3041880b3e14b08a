"""The relay's access to the outbox: one connection that holds the relay's lock and reads, and another that deletes."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import timedelta
from typing import Any, Final, Self

import psycopg

from producer.relay import lock, statements
from producer.relay.lock import Holder
from producer.relay.reading_point import BEFORE_ALL, LowWatermark, ReadingPoint, Writers
from producer.relay.row import Row
from producer.relay.session import STATEMENT_WITHIN_S, NoSession, Unusable, connect, execute, own_session
from runtime.clock import Clock
from runtime.database import Url, reading
from schemas.outbox import DELETING_NAME, RELAY_NAME, WATCH_NAME

WATERMARK_EVERY_S: Final = 0.5
# Together with the LIMIT of statements.FORGET this deletes 1,000 rows a second at most.
FORGET_EVERY_S: Final = 5.0
# Time after the start of an answered query for which a relay may treat itself as the active one.
ACTIVE_FOR_S: Final = 2.0
# Maximum total size of a fetch's texts; the last row may exceed it.
LARGEST_FETCH: Final = 16 * 1024 * 1024


class Outbox:
    """The relay's outbox. All methods raise psycopg.Error once a connection, and so the active role, is lost, or if the
    database refuses a statement. Only a new connection is of use then.
    """

    def __init__(
        self,
        url: Url,
        reading: psycopg.AsyncConnection,
        clock: Clock,
        retention: timedelta = timedelta(),
        point: ReadingPoint | None = None,
    ) -> None:
        self._url: Final = url
        self._retention: Final = retention
        self._reading: Final = reading
        self._clock: Final = clock
        self._point: Final = point or ReadingPoint()
        self._low_watermark: Final = LowWatermark()
        self._deleting: psycopg.AsyncConnection | None = None
        # The session that every statement of `_reading` has to run in.
        self._pid: int | None = None
        self._asked_at = clock.monotonic()
        self._raised_at = self._forgot_at = float("-inf")

    @classmethod
    async def opened(cls, url: Url, clock: Clock) -> Self:
        """Return an outbox that is connected to look into it, within `looking`. Raises psycopg.Error."""
        return cls(url, await connect(url, WATCH_NAME), clock)

    @classmethod
    async def connect(
        cls, url: Url, clock: Clock, retention: timedelta = timedelta(), *, point: ReadingPoint | None = None
    ) -> Self:
        """Return a connected outbox. *retention* is how long published rows are kept.

        Another task may let *point* heed rows. It begins anew, because the database may have been restored.

        Raises psycopg.Error without a connection, or if the database does not let this role read and delete rows, as a
        read-only server does; Unusable if it has no outbox of this version, hides rows from the role, or is behind a
        pooler that shares the session (NoSession).
        """
        outbox = cls(url, await connect(url, RELAY_NAME), clock, retention, point)
        async with AsyncExitStack() as failing:
            failing.push_async_callback(outbox.close)
            await outbox.prepare()
            failing.pop_all()
        return outbox

    async def prepare(self) -> None:
        """Become able to be active: see `connect`."""
        self._point.begin()
        # Nothing may be set, listened to or locked before: it would stay in a session that others use next.
        self._pid = await own_session(self._reading, self._url)
        await self._read(statements.SESSION)
        await self.beat()
        await self._read(statements.LISTEN)
        await self.head(0)
        # What can be read and not deleted would be published again and again.
        await self._read(self._deletion, [_array(())])

    def looking(self) -> AbstractAsyncContextManager[None]:
        """Begin a transaction that reads, and leaves nothing behind in the session, which may be a pooler's."""
        return reading(self._reading, statement_within=timedelta(seconds=STATEMENT_WITHIN_S))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def close(self) -> None:
        self._asked_at = float("-inf")
        await self._reading.close()
        if self._deleting is not None:
            await self._deleting.close()

    async def become_active(self) -> bool:
        """Return whether this relay is active from now on, until its connection ends.

        The caller repeats the call: a blocking wait for the lock would be a statement without an end, which delays
        vacuum.
        """
        [[locked, _]] = await self._read(lock.TAKE)
        if locked:
            self._deleting = await connect(self._url, DELETING_NAME)
            await execute(self._deleting, statements.SESSION)
            await self.forget()
        return bool(locked)

    async def depose(self) -> bool:
        """End the connection of an active relay that is silent: stopped, or cut off from the database. Return whether
        one was.

        The database permits this if both relays log in with the same role.
        """
        return bool(await self._read(lock.DEPOSE))

    async def holder(self) -> Holder | None:
        """Return who keeps this relay from being active, None if nobody does any more."""
        rows = await self._read(lock.HOLDER)
        return Holder._make(rows[0]) if rows else None

    @property
    def answers(self) -> bool:
        """Whether the database has answered within ACTIVE_FOR_S. Otherwise the relay may have been deposed."""
        return self._clock.monotonic() - self._asked_at < ACTIVE_FOR_S

    async def beat(self) -> None:
        """Look whether the database is as the relay needs it. This shows too that the relay is not silent.

        Raises Unusable.
        """
        [[migrated, hides_rows, pid]] = await self._read(statements.LOOK)
        if pid != self._pid:
            raise NoSession
        if not migrated:
            raise Unusable(
                "the database has no outbox of this version: run `python -m producer migrate`. If that finds it up to"
                " date, this role does not see its schema, or a table was dropped"
            )
        if hides_rows:
            raise Unusable(
                "row-level security may hide rows of outbox_events from this role: give it BYPASSRLS, or a policy FOR"
                " ALL with USING (true)"
            )

    async def raise_low_watermark(self) -> None:
        """Raise the low watermark. Queries for it are at least WATERMARK_EVERY_S apart, because they are costly."""
        if self._clock.monotonic() - self._raised_at < WATERMARK_EVERY_S:
            return
        self._raised_at = self._clock.monotonic()
        if not self._low_watermark.observe(await self.writers()):
            self._point.begin()

    async def writers(self) -> Writers:
        """Return the newest position, and who may be about to commit one up to it."""
        [[newest, exact, transactions]] = await execute(self._deleting or self._reading, statements.WRITERS)
        return Writers(newest, exact, frozenset(transactions))

    async def head(self, rows: int, *, without: Iterable[int] = ()) -> list[Row]:
        """Return the first rows by position, except *without*: at most *rows*, and about 16 MiB of text.

        *without* are the rows of earlier calls that are not deleted.
        """
        low_watermark, after, held = self._low_watermark.position, self._point.after, list(without)
        self._point.go_on(after, held)
        known = [position for position in held if position > after]
        parameters = {"rows": rows, "octets": LARGEST_FETCH, "without": _array(known), "first": after + 1}
        found = await self._read(statements.HEAD, parameters)
        # Meanwhile the point may have heeded a row.
        if rows and self._point.after == after:
            self._point.after = max(after, min(found[-1][0], low_watermark) if found else low_watermark)
        return [Row._make(row) for row in found]

    def rewind(self) -> None:
        """Read all rows again that are there, for rows that were read but not published."""
        if self._low_watermark.exact:
            self._point.rewind()
        else:
            self._point.begin()

    async def delete(self, positions: Sequence[int]) -> None:
        """Delete these rows from the outbox. With a retention they are moved to `outbox_published`."""
        await execute(self._active, self._deletion, [_array(positions)])

    async def forget(self) -> None:
        """Delete some of the published rows whose retention has ended, at most every FORGET_EVERY_S."""
        if self._clock.monotonic() - self._forgot_at >= FORGET_EVERY_S:
            self._forgot_at = self._clock.monotonic()
            await execute(self._active, statements.FORGET, [self._retention.total_seconds()])

    async def backlog(self, at_most: int, after: int = BEFORE_ALL) -> tuple[int, int | None, float]:
        """Return how many rows wait behind *after* (counted up to *at_most*), the first one's position, and its age in
        seconds.
        """
        [[count, first, oldest_s]] = await self._read(statements.BACKLOG, {"first": after + 1, "most": at_most})
        return count, first, oldest_s

    async def fall_asleep(self) -> bool:
        """Return whether every transaction that commits from now on notifies this relay.

        The result is False while a transaction is open that wrote before it could see that the relay sleeps.
        """
        [[locked]] = await self._read(statements.FALL_ASLEEP)
        return bool(locked)

    async def notified(self, within_s: float) -> None:
        """Return when a writer has sent a notification, or after *within_s* seconds."""
        async for _ in self._reading.notifies(timeout=within_s, stop_after=1):
            pass

    async def wake_up(self) -> None:
        """Release ASLEEP_LOCK: writers need not send notifications any more."""
        await self._read(statements.WAKE_UP)

    @property
    def _deletion(self) -> str:
        return statements.KEEP if self._retention else statements.DELETE

    @property
    def _active(self) -> psycopg.AsyncConnection:
        if self._deleting is None:
            raise RuntimeError("only the active relay deletes")
        return self._deleting

    async def _read(self, statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        asked_at = self._clock.monotonic()
        rows = await execute(self._reading, statement, parameters)
        self._asked_at = max(self._asked_at, asked_at)
        return rows


def _array(positions: Iterable[int]) -> str:
    # The array is sent as text: psycopg's adaptation of a list takes several times as long.
    return "{" + ",".join(map(str, positions)) + "}"
