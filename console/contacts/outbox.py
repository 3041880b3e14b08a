"""The outbox of one contact: its events that are not published yet, and those that wait for its email. Only reads."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, LiteralString

import psycopg
from pydantic import SecretStr

from runtime.database import reading
from schemas.contacts import ContactKey
from schemas.envelope import Envelope, UnreadableRecord, read_envelope

# A page waits for it.
OUTBOX_WITHIN_S: Final = 1.0
_STATEMENT_WITHIN: Final = timedelta(milliseconds=800)
_CONTACT: Final = "SELECT external_id, sequence FROM outbox_contacts WHERE contact_key = %s"
_CONTACT_OF: Final = "SELECT contact_key FROM outbox_directory WHERE external_id = %s"
# No index on the contact, which every event would have to keep up: the outbox is short, or the relay is away.
_EVENTS: Final = """
SELECT id::text, type, sequence, created_at, payload::text FROM outbox_events
WHERE aggregateid = %s AND sequence < %s ORDER BY sequence DESC LIMIT %s
"""
_PARKED: Final = """
SELECT id::text, type, occurred_at, created_at FROM outbox_parked WHERE external_id = %s ORDER BY position LIMIT %s
"""


class OutboxAway(Exception):
    """The outbox can't be looked at; the message says why."""


@dataclass(frozen=True)
class Unpublished:
    """An event that no relay has published yet."""

    id: str
    type: str
    sequence: int
    committed_at: datetime
    value: bytes
    key: ContactKey

    @property
    def envelope(self) -> Envelope | None:
        try:
            return read_envelope(self.key.encode(), self.value)
        except UnreadableRecord:
            return None


@dataclass(frozen=True)
class Parked:
    """An event of a user whose email nobody has named yet; it has no sequence."""

    id: str
    type: str
    occurred_at: datetime
    committed_at: datetime


@dataclass(frozen=True)
class OutboxContact:
    """What the outbox knows of a contact: its user, and the last sequence that was given."""

    external_id: str | None
    sequence: int


class ContactsOutbox:
    """Connects for each question: there are few of them, and an outage leaves nothing behind."""

    def __init__(self, url: SecretStr) -> None:
        self._url: Final = url

    async def contact_of(self, external_id: str) -> ContactKey | None:
        """Return whose contact a user is. Raises OutboxAway."""
        [found] = await self._ask((_CONTACT_OF, (external_id,)))
        return ContactKey(found[0][0]) if found else None

    async def of(self, key: ContactKey, before: int, most: int) -> tuple[OutboxContact | None, list[Unpublished]]:
        """Return what is known of a contact, and its newest unpublished events below *before*. Raises OutboxAway."""
        known, events = await self._ask((_CONTACT, (key,)), (_EVENTS, (key, before, most)))
        unpublished = [
            Unpublished(id_, type_, sequence, committed_at, value.encode(), key)
            for id_, type_, sequence, committed_at, value in reversed(events)
        ]
        return (OutboxContact(*known[0]) if known else None), unpublished

    async def parked(self, external_id: str, most: int) -> list[Parked]:
        """Return the events of a user that wait for an email. Raises OutboxAway."""
        [found] = await self._ask((_PARKED, (external_id, most)))
        return [Parked(*row) for row in found]

    async def _ask(self, *questions: tuple[LiteralString, Sequence[Any]]) -> list[list[Any]]:
        try:
            async with (
                asyncio.timeout(OUTBOX_WITHIN_S),
                await psycopg.AsyncConnection.connect(
                    self._url.get_secret_value(), autocommit=True, application_name="nerava-console"
                ) as connection,
                reading(connection, statement_within=_STATEMENT_WITHIN),
            ):
                return [await (await connection.execute(query, with_)).fetchall() for query, with_ in questions]
        except (TimeoutError, psycopg.errors.QueryCanceled) as error:
            raise OutboxAway("the database does not answer in time") from error
        except (psycopg.Error, OSError) as error:
            # psycopg's words may name the host and the user.
            raise OutboxAway(f"the database can't be read ({type(error).__name__})") from error
