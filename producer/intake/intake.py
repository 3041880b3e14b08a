"""The intake: it commits events of services without this database to the outbox, once per idempotency key."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final, Self
from uuid import UUID

import psycopg
from psycopg.errors import CheckViolation, DataError, DeadlockDetected, InvalidParameterValue
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from producer.intake.problems import Fault, Problem, refuse_faulty
from producer.intake.submissions import Submission, fingerprint
from producer.new_connections import NewConnections
from runtime.clock import set_within
from runtime.database import MENDS, Url, connection_options, require_schema
from runtime.health import Health
from runtime.logs import log

# The intake has few connections of its own: the backend needs the database most, and the relay must not wait for them.
MOST_CONNECTIONS: Final = 4
# Maximum number of concurrent requests. Each may use a megabyte of memory.
MOST_AT_ONCE: Final = 32
CONNECTION_WITHIN_S: Final = 2.0
ACCEPTED_WITHIN_S: Final = 8.0
# Limit for the acknowledgement of sent data: a reachable database sends it even if it is busy.
HEARD_WITHIN_S: Final = 10.0
RETRY_AFTER: Final = {"Retry-After": "2"}
ATTEMPTS: Final = 3
LOOK_EVERY_S: Final = 3.0
OPTIONS: Final = connection_options("nerava-intake", answer_within_s=HEARD_WITHIN_S)
FORGET_EVERY_S: Final = 60.0
FORGET_AT_ONCE: Final = 1_000

# The limits apply to the transaction only: behind a pooler, other clients use the server's connection next.
_LIMITS: Final = "SET LOCAL statement_timeout = '5s'; SET LOCAL lock_timeout = '3s'"
# The statement waits while another request with one of the keys is in flight. It sorts the keys, so that two batches
# can't deadlock.
_CLAIM: Final = """
INSERT INTO outbox_idempotency_keys AS known (key, fingerprint)
SELECT key, fingerprint FROM unnest(%s::text[], %s::bytea[]) AS asked (key, fingerprint) ORDER BY key COLLATE "C"
ON CONFLICT (key) DO UPDATE SET fingerprint = excluded.fingerprint, ids = '{}', created_at = now()
    WHERE known.created_at < now() - interval '1 day'
RETURNING key
"""
_RECALL: Final = "SELECT key, fingerprint, ids FROM outbox_idempotency_keys WHERE key = ANY(%s)"
_REMEMBER: Final = "UPDATE outbox_idempotency_keys SET ids = %s::uuid[] WHERE key = %s"
# The function locks contacts in one order for all callers, whatever the order of the events.
_TRACK: Final = "SELECT unnest(track_lifecycle_events(%s::jsonb))"
# The database's refusals of a request, after which its connection is as good as before.
_OF_ONE_REQUEST: Final = (CheckViolation, DataError, DeadlockDetected)
_FORGET: Final = """
DELETE FROM outbox_idempotency_keys WHERE key IN (
    SELECT key FROM outbox_idempotency_keys WHERE created_at < now() - interval '1 day'
    ORDER BY created_at LIMIT %s FOR UPDATE SKIP LOCKED)
"""


@dataclass(frozen=True)
class Accepted:
    """The ids of the submitted events, in their order. *repeated* is True if all had been accepted before."""

    ids: list[UUID]
    repeated: bool


class Intake:
    """The intake, open within `async with` even during an outage of the database."""

    def __init__(self, url: Url, health: Health) -> None:
        self._url: Final = url
        self._new_connections: Final = NewConnections(health, "intake", "DATABASE_URL")
        self._taken = 0
        self._closing: Final = asyncio.Event()
        # Tasks in progress, including those that exceeded ACCEPTED_WITHIN_S.
        self._accepting: Final[set[asyncio.Task[Accepted]]] = set()
        self._pool: Final = AsyncConnectionPool(
            # The pool asks for the URL at each new connection.
            url,
            open=False,
            name="intake",
            min_size=1,
            max_size=MOST_CONNECTIONS,
            timeout=CONNECTION_WITHIN_S,
            # After this time the next request tries at once, so that the pool recovers together with the database.
            reconnect_timeout=CONNECTION_WITHIN_S,
            configure=_configure,
            check=AsyncConnectionPool.check_connection,
            kwargs=OPTIONS,
        )

    async def __aenter__(self) -> Self:
        await self._pool.open()
        works = (self._forget_now_and_then(), self._look_now_and_then())
        self._works = {asyncio.create_task(work) for work in works}
        return self

    async def __aexit__(self, *error: object) -> None:
        self._closing.set()
        await self._pool.close()
        await asyncio.wait(self._works, timeout=CONNECTION_WITHIN_S)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Reserve a place for a request. Raises Problem, `busy`, if none is free: requests don't queue."""
        if self._taken >= MOST_AT_ONCE:
            raise Problem("busy", f"{MOST_AT_ONCE} requests are in progress", headers=RETRY_AFTER)
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1

    async def accept(self, submissions: Sequence[Submission], key: str | None = None) -> Accepted:
        """Return when all events are committed. Raises Problem if none is; after `unavailable` they may be.

        *key* is the key of the request, in addition to those of its submissions.
        """
        accepting = asyncio.create_task(self._accept(submissions, key))
        self._accepting.add(accepting)
        accepting.add_done_callback(self._accepting.discard)
        # The task is not cancelled: a hanging database would not notice, and the key makes a retry harmless.
        done, _ = await asyncio.wait({accepting}, timeout=ACCEPTED_WITHIN_S)
        if not done:
            accepting.add_done_callback(_log_late_answer)
            raise _unavailable(f"it did not answer within {ACCEPTED_WITHIN_S:g} s")
        accepted = accepting.result()
        log.debug("intake.accepted", event_ids=accepted.ids, repeated=accepted.repeated)
        return accepted

    async def forget(self) -> int:
        """Delete some of the keys that are older than a day, and return their number."""
        async with self._limited() as connection:
            return (await connection.execute(_FORGET, [FORGET_AT_ONCE])).rowcount

    @asynccontextmanager
    async def _limited(self) -> AsyncIterator[psycopg.AsyncConnection]:
        async with self._pool.connection() as connection:
            try:
                await connection.execute(_LIMITS)
                yield connection
            except _OF_ONE_REQUEST:
                raise
            except psycopg.Error:
                # A session that began on a read-only server, or with another search_path, stays so. The pool makes
                # another connection.
                await connection.close()
                raise

    async def _forget_now_and_then(self) -> None:
        while not self._closing.is_set():
            try:
                while await self.forget() == FORGET_AT_ONCE:
                    pass
            except psycopg.Error as error:
                # The failure is harmless: the claim of a key checks the key's age itself.
                log.debug("intake.not_forgotten", error=type(error).__name__)
            # An event ends the task instead of a cancellation, which Python 3.11 may lose during a wait for the pool.
            await set_within(self._closing, FORGET_EVERY_S)

    async def _look_now_and_then(self) -> None:
        while not self._closing.is_set():
            await self._new_connections.look(self._url, OPTIONS)
            await set_within(self._closing, LOOK_EVERY_S)

    async def _accept(self, submissions: Sequence[Submission], key: str | None) -> Accepted:
        attempt = 1
        while True:
            try:
                async with self._limited() as connection:
                    return await _write(connection, submissions, key)
            except DeadlockDetected as error:
                if attempt == ATTEMPTS:
                    raise _unavailable(type(error).__name__) from None
                attempt += 1
            except PoolTimeout:
                raise _unavailable("no connection is free") from None
            except CheckViolation:
                raise Problem("too_large", "an event is larger than the outbox takes") from None
            except InvalidParameterValue as error:
                # The message is the SQL function's own, which quotes no value.
                raise Problem("invalid_event", error.diag.message_primary or "it can't be tracked") from None
            except DataError:
                raise Problem("invalid_event", "the database can't hold one of the values") from None
            except psycopg.Error as error:
                log.warning("intake.unavailable", error=type(error).__name__, sqlstate=error.sqlstate)
                raise _unavailable(MENDS.get(error.sqlstate or "", type(error).__name__)) from None


async def _write(connection: psycopg.AsyncConnection, submissions: Sequence[Submission], key: str | None) -> Accepted:
    asked = {submission.key: submission.fingerprint for submission in submissions if submission.key is not None}
    _refuse_two_events_for_a_key(asked, submissions, key)
    whole = {} if key is None else {key: fingerprint(submissions)}
    known = await _claim(connection, {**asked, **whole}, submissions)
    if key in known:
        return Accepted(known[key], repeated=True)
    # Submissions by their keys, or by their places if they have none.
    fresh = {
        submission.key or place: submission
        for place, submission in enumerate(submissions)
        if submission.key not in known
    }
    tracked = dict(zip(fresh, await _track(connection, fresh.values()), strict=True))
    ids = [
        known[submission.key][0] if submission.key in known else tracked[submission.key or place]
        for place, submission in enumerate(submissions)
    ]
    brought = {name: [event_id] for name, event_id in tracked.items() if isinstance(name, str)}
    await _remember(connection, {**brought, **({} if key is None else {key: ids})})
    return Accepted(ids, repeated=not fresh)


def _refuse_two_events_for_a_key(asked: dict[str, bytes], submissions: Sequence[Submission], key: str | None) -> None:
    faults = [
        Fault("idempotency_key", "is another event's in this batch, or the batch's own", index)
        for index, submission in enumerate(submissions)
        if submission.key is not None and (submission.key == key or asked[submission.key] != submission.fingerprint)
    ]
    refuse_faulty("idempotency_key_reused", faults)


async def _claim(
    connection: psycopg.AsyncConnection, asked: dict[str, bytes], submissions: Sequence[Submission]
) -> dict[str | None, list[UUID]]:
    """Return the events of known keys, and claim the others. Raises Problem if a key belongs to another request."""
    if not asked:
        return {}
    claimed = {row[0] for row in await _rows(connection, _CLAIM, [list(asked), list(asked.values())])}
    known = await _rows(connection, _RECALL, [[key for key in asked if key not in claimed]])
    reused = {key for key, fingerprint_then, _ in known if fingerprint_then != asked[key]}
    if reused:
        faults = [
            Fault("idempotency_key", "was sent with another event within the last day", index)
            for index, submission in enumerate(submissions)
            if submission.key in reused
        ]
        raise Problem("idempotency_key_reused", "the key was sent with another request within a day", faults=faults)
    return {key: ids for key, _, ids in known}


async def _track(connection: psycopg.AsyncConnection, submissions: Collection[Submission]) -> list[UUID]:
    events = [
        {
            "event_type": submission.event_type,
            "payload": submission.payload,
            "occurred_at": submission.occurred_at.isoformat() if submission.occurred_at else None,
            "traceparent": submission.traceparent,
        }
        for submission in submissions
    ]
    return [row[0] for row in await _rows(connection, _TRACK, [Jsonb(events)])]


async def _remember(connection: psycopg.AsyncConnection, brought: dict[str, list[UUID]]) -> None:
    async with connection.cursor() as cursor:
        await cursor.executemany(_REMEMBER, [(ids, key) for key, ids in brought.items()])


async def _rows(connection: psycopg.AsyncConnection, query: str, parameters: list[object]) -> list[tuple[Any, ...]]:
    return await (await connection.execute(query, parameters)).fetchall()


async def _configure(connection: psycopg.AsyncConnection) -> None:
    # A request that waited for another's key must see what that one wrote.
    await connection.set_isolation_level(psycopg.IsolationLevel.READ_COMMITTED)
    # A prepared statement stays in the server's connection, which a pooler gives to other clients.
    connection.prepare_threshold = None
    await require_schema(connection)
    await connection.rollback()


def _unavailable(why: str) -> Problem:
    return Problem("unavailable", why, headers=RETRY_AFTER)


def _log_late_answer(accepting: asyncio.Task[Accepted]) -> None:
    # The exception is read, because asyncio logs an error for one that is never read.
    if not accepting.cancelled() and (error := accepting.exception()):
        log.warning("intake.answered_late", error=type(error).__name__)
