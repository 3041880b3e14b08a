"""The outbox of one contact: its unpublished events and its parked events, which wait for its email. Read-only."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, LiteralString

import psycopg

from runtime.database import Url, reading
from schemas.contacts import ContactKey

# A page waits for the answer.
OUTBOX_WITHIN_S: Final = 1.0
_STATEMENT_WITHIN: Final = timedelta(milliseconds=800)
_CONTACT: Final = "SELECT external_id, sequence FROM outbox_contacts WHERE contact_key = %s"
_CONTACT_OF: Final = "SELECT contact_key FROM outbox_directory WHERE external_id = %s"
# The contact has no database index, which every insert would have to update: the outbox is short while a relay runs.
_EVENTS: Final = """
SELECT id::text, type, sequence, created_at, payload::text FROM outbox_events
WHERE aggregateid = %s AND sequence < %s ORDER BY sequence DESC LIMIT %s
"""
_PARKED: Final = """
SELECT id::text, type, occurred_at, created_at FROM outbox_parked WHERE external_id = %s ORDER BY position LIMIT %s
"""


class OutboxAway(Exception):
    """The outbox can't be read; the message says why."""


@dataclass(frozen=True)
class Unpublished:
    """An event that no relay has published yet."""

    id: str
    type: str
    sequence: int
    committed_at: datetime
    value: bytes
    key: ContactKey


@dataclass(frozen=True)
class Parked:
    """An event of a user whose email is not known yet; it has no sequence."""

    id: str
    type: str
    occurred_at: datetime
    committed_at: datetime


@dataclass(frozen=True)
class OutboxContact:
    """A contact's row in the outbox: its user, and the last assigned sequence."""

    external_id: str | None
    sequence: int


class ContactsOutbox:
    """Reads the outbox. Every query opens its own connection: queries are few, and no broken connection remains."""

    def __init__(self, url: Url | None) -> None:
        self._url: Final = url

    async def contact_of(self, external_id: str) -> ContactKey | None:
        """Return the contact of a user; None if it is unknown. Raises OutboxAway."""
        [found] = await self._ask((_CONTACT_OF, (external_id,)))
        return ContactKey(found[0][0]) if found else None

    async def of(self, key: ContactKey, before: int, most: int) -> tuple[OutboxContact | None, list[Unpublished]]:
        """Return a contact's row, and its newest unpublished events below *before*, oldest first. Raises OutboxAway."""
        known, events = await self._ask((_CONTACT, (key,)), (_EVENTS, (key, before, most)))
        unpublished = [
            Unpublished(id_, type_, sequence, committed_at, value.encode(), key)
            for id_, type_, sequence, committed_at, value in reversed(events)
        ]
        return (OutboxContact(*known[0]) if known else None), unpublished

    async def parked(self, external_id: str, most: int) -> list[Parked]:
        """Return the parked events of a user, which wait for an email. Raises OutboxAway."""
        [found] = await self._ask((_PARKED, (external_id, most)))
        return [Parked(*row) for row in found]

    async def _ask(self, *questions: tuple[LiteralString, Sequence[Any]]) -> list[list[Any]]:
        if self._url is None:
            raise OutboxAway("DATABASE_URL is not set")
        try:
            async with (
                asyncio.timeout(OUTBOX_WITHIN_S),
                await psycopg.AsyncConnection.connect(
                    self._url(), autocommit=True, application_name="nerava-console"
                ) as connection,
                reading(connection, statement_within=_STATEMENT_WITHIN),
            ):
                return [await (await connection.execute(query, values)).fetchall() for query, values in questions]
        except (TimeoutError, psycopg.errors.QueryCanceled) as error:
            raise OutboxAway("the database does not answer in time") from error
        except (psycopg.Error, OSError) as error:
            # The message of psycopg may contain the host and the user.
            raise OutboxAway(f"the database can't be read ({type(error).__name__})") from error
