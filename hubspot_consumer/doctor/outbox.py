"""Checks of the outbox's database: its waiting rows and their age, and the relay or connector that publishes them."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any, Final, LiteralString, NamedTuple

import psycopg

from hubspot_consumer.doctor.environment import Environment
from hubspot_consumer.doctor.examination import Answer, CannotTell, Check, Checks, Look, count, duration, fail, ok, warn
from hubspot_consumer.doctor.versions import SERVER_VERSION, postgres_version
from runtime.database import reading
from schemas.outbox import OWN_SCHEMA, RELAY_LOCK, RELAY_NAME, RELAY_OF_A_TABLE, ROWS_MAY_BE_HIDDEN, TABLE_OID

CONNECT_WITHIN_S: Final = 4
# A higher count would cost the database more than it is worth.
COUNT_UP_TO: Final = 100_000
# A healthy relay takes a row within milliseconds, and needs minutes for the backlog after an outage.
OLD_S: Final = 60.0
VERY_OLD_S: Final = 600.0
# Some users never give an email. So many parked events are a sign that the application does not pass emails on.
MANY_PARKED: Final = 1_000
MUCH_WAL: Final = 1024**3
NO_ANSWER: Final = (psycopg.OperationalError, psycopg.ProgrammingError, TimeoutError)
GET_ROWS: Final = (
    "give the role of DATABASE_URL BYPASSRLS, or a policy FOR ALL with USING (true): a relay with this role publishes "
    "nothing until then"
)
SEE_DATABASE: Final = "the database does not answer: see database"

STATEMENT_WITHIN: Final = timedelta(seconds=4)
HAS_OUTBOX: Final = "SELECT to_regclass('outbox_events') IS NOT NULL AND to_regclass('outbox_parked') IS NOT NULL"
# The age is that of the first row by position, because the relay takes that one first. A time that somebody has set to
# infinity has none.
WAITING: Final = f"""
SELECT (SELECT count(*) FROM (SELECT FROM outbox_events LIMIT %(most)s) AS waiting),
    coalesce((SELECT CASE WHEN isfinite(created_at) THEN extract(epoch FROM now() - created_at)::float END
        FROM outbox_events ORDER BY position LIMIT 1), 0),
    {ROWS_MAY_BE_HIDDEN}
"""  # noqa: S608 - the text contains no value
PARKED: Final = """
SELECT (SELECT count(*) FROM (SELECT FROM outbox_parked LIMIT %(most)s) AS parked),
    coalesce((SELECT CASE WHEN isfinite(created_at) THEN extract(epoch FROM now() - created_at)::float END
        FROM outbox_parked ORDER BY position LIMIT 1), 0)
"""
ACTIVE_RELAY: Final = f"""
SELECT pid, extract(epoch FROM now() - backend_start)::float
FROM pg_locks LEFT JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND CASE WHEN {OWN_SCHEMA} THEN objsubid = 2 AND classid::bigint = {TABLE_OID} AND objid = {RELAY_OF_A_TABLE}
        ELSE objsubid = 1 AND (classid::bigint << 32) | objid::bigint = %(lock)s END
"""  # noqa: S608 - the text contains no value
# Connections that have the lock of another outbox in the database do not stand by.
STANDBYS: Final = f"""
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = %(name)s AND pid NOT IN (
    SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted
    AND (objsubid = 2 AND objid = {RELAY_OF_A_TABLE}
        OR objsubid = 1 AND (classid::bigint << 32) | objid::bigint = %(lock)s))
"""  # noqa: S608 - the text contains no value
# A slot without a reader keeps the log from its restart_lsn on, until the disk is full. Slots for other purposes may
# exist: one that uses pgoutput reads the tables in a publication.
SLOTS: Final = """
SELECT slot_name, active, coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::bigint, wal_status,
    plugin <> 'pgoutput' OR EXISTS (SELECT FROM pg_publication_tables WHERE tablename = 'outbox_events')
FROM pg_replication_slots WHERE slot_type = 'logical' AND database = current_database() ORDER BY slot_name
"""


class ReplicationSlot(NamedTuple):
    """A logical replication slot, as Debezium uses one, and the bytes of log that it keeps."""

    name: str
    active: bool
    retained: int
    status: str | None
    of_outbox: bool = True

    @property
    def brings_events(self) -> bool:
        return self.active and self.of_outbox


class OutboxChecks:
    """Checks of the outbox. They only read, on one connection."""

    def __init__(self, environment: Environment) -> None:
        self._url: Final = environment.settings.database
        self._opened: Final = AsyncExitStack()
        # The checks run concurrently, but a connection has one transaction at a time.
        self._one_at_a_time: Final = asyncio.Lock()
        self._connected: Final = Look(self._connect, NO_ANSWER, SEE_DATABASE)
        self._slots: Final = Look(self._read_slots, NO_ANSWER, SEE_DATABASE)
        self._relay: Final = Look(self._read_relay, NO_ANSWER, SEE_DATABASE)

    def checks(self) -> Checks:
        return Checks(
            [
                Check("database", self.database, "check PostgreSQL and DATABASE_URL"),
                Check("postgres_version", self.version),
                Check("outbox", self.waiting),
                Check("parked", self.parked),
                Check("relay", self.relay),
                Check("replication_slot", self.slot),
            ],
            self._opened.aclose,
        )

    async def database(self) -> Answer:
        """Check whether the database can be reached, and has an outbox."""
        try:
            connection = await self._connected.seen()
        except TimeoutError:
            return fail("DATABASE_URL: no answer in time", "check PostgreSQL and DATABASE_URL")
        except psycopg.Error as error:
            return fail(f"DATABASE_URL: {_first_line(error)}", "check PostgreSQL and DATABASE_URL")
        [[migrated]] = await self._rows(connection, HAS_OUTBOX)
        if not migrated:
            return fail("the database has no outbox", "run `python -m producer migrate`")
        return ok(f"PostgreSQL {connection.info.server_version // 10_000}, with an outbox")

    async def version(self) -> Answer:
        """Check whether PostgreSQL is of a promised version."""
        [[number]] = await self._rows(await self._connected.known(), SERVER_VERSION)
        return postgres_version(number)

    async def waiting(self) -> Answer:
        """Report how many events wait for the relay, and for how long the first of them has."""
        [[rows, oldest_s, may_be_hidden]] = await self._ask(WAITING, most=COUNT_UP_TO)
        seen = count(rows, "event", at_most=COUNT_UP_TO)
        if may_be_hidden:
            return warn(
                f"row-level security may hide rows of outbox_events from this role, which sees {seen}", GET_ROWS
            )
        if not rows:
            return ok("empty")
        what = f"{seen} waiting, the first for {duration(oldest_s)}"
        active, _ = await self._relay.known()
        if active is None and any(slot.brings_events for slot in await self._slots.known()):
            return ok(f"{what}; a replication slot is read, so rows stay until somebody deletes them")
        if oldest_s >= VERY_OLD_S:
            return fail(what, "see relay, kafka and topics; the relay's log and health say what blocks it")
        return warn(what, "see relay, kafka and topics, then run the doctor again") if oldest_s >= OLD_S else ok(what)

    async def parked(self) -> Answer:
        """Report how many events wait for their user's email."""
        [[rows, oldest_s]] = await self._ask(PARKED, most=COUNT_UP_TO)
        if not rows:
            return ok("none")
        what = f"{count(rows, 'event', at_most=COUNT_UP_TO)} of users without a known email, the first for "
        what += duration(oldest_s)
        if rows >= MANY_PARKED:
            return warn(what, "make sure that driver_signed_up, with the email, is produced for every user")
        return ok(what)

    async def relay(self) -> Answer:
        """Check whether a relay is active, or a replication slot that contains the outbox is read."""
        await self._connected.known()
        active, standing_by = await self._relay.known()
        slots = ", ".join(slot.name for slot in await self._slots.known() if slot.brings_events)
        if active:
            pid, since_s = active
            standbys = f", {standing_by} standing by" if standing_by else ""
            what = f"active for {duration(since_s or 0)} (backend {pid}){standbys}"
            if slots:
                return warn(
                    f"{what}, and the replication slot {slots} is read", "stop one of them: both publish every event"
                )
            return ok(what)
        if slots:
            return ok(f"none; the replication slot {slots} is read instead")
        return fail("no relay is active, and no replication slot is read", "start one: `python -m producer serve`")

    async def slot(self) -> Answer:
        """Check whether each logical replication slot is read: one without a reader fills the disk."""
        return slots_answer(await self._slots.known())

    async def _ask(self, question: LiteralString, **parameters: object) -> Sequence[Sequence[Any]]:
        connection = await self._connected.known()
        try:
            return await self._rows(connection, question, **parameters)
        except psycopg.errors.UndefinedTable:
            raise CannotTell("the database has no outbox: see database") from None

    async def _connect(self) -> psycopg.AsyncConnection:
        if self._url is None:
            raise CannotTell("DATABASE_URL is not set")
        connection = await psycopg.AsyncConnection.connect(
            self._url(),
            autocommit=True,
            connect_timeout=CONNECT_WITHIN_S,
            application_name="nerava-doctor",
        )
        self._opened.push_async_callback(connection.close)
        return connection

    async def _read_relay(self) -> tuple[tuple[int, float | None] | None, int]:
        connection = await self._connected.seen()
        holders = await self._rows(connection, ACTIVE_RELAY, lock=RELAY_LOCK)
        [[standbys]] = await self._rows(connection, STANDBYS, name=RELAY_NAME, lock=RELAY_LOCK)
        return (holders[0][0], holders[0][1]) if holders else None, standbys

    async def _read_slots(self) -> list[ReplicationSlot]:
        return [ReplicationSlot(*row) for row in await self._rows(await self._connected.seen(), SLOTS)]

    async def _rows(
        self, connection: psycopg.AsyncConnection, question: LiteralString, **parameters: object
    ) -> list[Any]:
        async with self._one_at_a_time, reading(connection, statement_within=STATEMENT_WITHIN):
            return await (await connection.execute(question, parameters or None)).fetchall()


def slots_answer(slots: Sequence[ReplicationSlot]) -> Answer:
    """Return the finding about the database's logical replication slots."""
    if not slots:
        return ok("none: the relay needs none")
    what = "; ".join(
        f"{slot.name} {'is read' if slot.active else 'is not read'}, keeps {slot.retained >> 20:,} MiB of the log"
        for slot in slots
    )
    if any(slot.status == "lost" for slot in slots):
        return fail(
            f"{what}; PostgreSQL has deleted log that it had to read",
            "drop the slot and restart the connector: it starts with the rows in the outbox",
        )
    if any(slot.status == "unreserved" for slot in slots):
        return fail(
            f"{what}; PostgreSQL may delete log that it has to read at any moment", "check the connector and its log"
        )
    if not all(slot.active for slot in slots):
        return fail(what, "start the connector, or drop the slot: PostgreSQL keeps the log until the disk is full")
    if any(slot.retained >= MUCH_WAL for slot in slots):
        return warn(what, "the connector is behind: check its log, and PostgreSQL's disk")
    return ok(what)


def _first_line(error: psycopg.Error) -> str:
    # The first line of psycopg's message has the cause, with host and user but without a password.
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
