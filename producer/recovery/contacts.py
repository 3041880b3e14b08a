"""The outbox, compared with what was published: contacts are raised to it, and parked events of it are deleted.

Who has which user id is not restored: the restored backend may give the ids to other people.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg.types.json import Jsonb

from producer.recovery.published import Contact, Waiting
from runtime.database import require_schema
from schemas.contacts import ContactKey
from schemas.envelope import Totals

AT_ONCE: Final = 5_000

WAITING: Final = """
SELECT id::text, aggregateid, sequence FROM outbox_events WHERE aggregateid IS NOT NULL AND sequence IS NOT NULL
"""
PARKED: Final = "SELECT id::text FROM outbox_parked"
UNPARK: Final = "DELETE FROM outbox_parked WHERE id = ANY(%s::uuid[])"
# No event is tracked from here to the end of the transaction. While the lock waits for open transactions, new ones wait
# too, so it does not wait for long.
LOCK: Final = """
SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '10s';
LOCK TABLE outbox_contacts IN SHARE ROW EXCLUSIVE MODE
"""
KNOWN: Final = "SELECT contact_key, sequence, totals FROM outbox_contacts WHERE contact_key = ANY(%s)"
RAISE: Final = """
INSERT INTO outbox_contacts (contact_key, sequence, totals)
SELECT * FROM unnest(%s::text[], %s::bigint[], %s::jsonb[])
ON CONFLICT (contact_key) DO UPDATE SET sequence = excluded.sequence, totals = excluded.totals
"""
NEW: Final = Contact(0, Totals().model_dump())


@dataclass(frozen=True)
class Behind:
    """A contact that the database lacks (`known` is None), or whose sequence or totals are below those on Kafka."""

    key: ContactKey
    known: Contact | None
    raised: Contact

    @property
    def other_totals(self) -> Mapping[str, tuple[int, int]]:
        """The totals that differ: in the database, and raised."""
        before = (self.known or NEW).totals
        both = {name: (before.get(name) or 0, value) for name, value in self.raised.totals.items()}
        return {name: pair for name, pair in both.items() if pair[0] != pair[1]}


async def waiting_rows(database_url: str) -> dict[str, Waiting]:
    """Return the rows that are to be published, by event id. Raises psycopg.Error."""
    async with await connect(database_url) as connection:
        found = await (await connection.execute(WAITING)).fetchall()
    return {event_id: Waiting(key, sequence) for event_id, key, sequence in found}


async def parked_events(database_url: str) -> set[str]:
    """Return the ids of the events that wait for their user's email. Raises psycopg.Error."""
    async with await connect(database_url) as connection:
        return {event_id for (event_id,) in await (await connection.execute(PARKED)).fetchall()}


async def compare(
    database_url: str, published: Mapping[ContactKey, Contact], parked_too: Collection[str] = (), *, apply: bool
) -> Sequence[Behind]:
    """Return the contacts that are behind, by key. With *apply*, raise them, and delete the parked events *parked_too*.

    It writes in one transaction. Raises psycopg.Error; then nothing was written.
    """
    if apply:
        # The backend waits for the lock. A contact that is not behind now won't be later, so it is looked at without.
        published = {one.key: published[one.key] for one in await compare(database_url, published, apply=False)}
    behind: list[Behind] = []
    keys = sorted(published)
    async with await connect(database_url) as connection:
        if apply and (keys or parked_too):
            await connection.execute(LOCK)
            await connection.execute(UNPARK, [sorted(parked_too)])
        for start in range(0, len(keys), AT_ONCE):
            some = await _behind(connection, {key: published[key] for key in keys[start : start + AT_ONCE]})
            if apply and some:
                await connection.execute(RAISE, _columns(some))
            behind += some
    return behind


async def _behind(connection: psycopg.AsyncConnection, published: Mapping[ContactKey, Contact]) -> list[Behind]:
    rows = await (await connection.execute(KNOWN, [list(published)])).fetchall()
    contacts = {key: Contact(sequence, totals) for key, sequence, totals in rows}
    compared = [
        Behind(key, known := contacts.get(key), (known or NEW).raised_to(newest)) for key, newest in published.items()
    ]
    return [one for one in compared if one.raised != one.known]


def _columns(behind: Sequence[Behind]) -> list[list[Any]]:
    rows = ((one.key, one.raised.sequence, Jsonb(one.raised.totals)) for one in behind)
    return [list(column) for column in zip(*rows, strict=True)]


async def connect(database_url: str) -> psycopg.AsyncConnection:
    """Connect to the database. As a context, the connection is one transaction, READ COMMITTED."""
    # Behind a pooler, a prepared statement may be missing in the server's next connection.
    connection = await psycopg.AsyncConnection.connect(database_url, prepare_threshold=None)
    await connection.set_isolation_level(psycopg.IsolationLevel.READ_COMMITTED)
    await require_schema(connection)
    return connection
