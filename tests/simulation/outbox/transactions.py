"""Transactions of the backend, which track events as the SQL function `track_lifecycle_event` does."""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final

from psycopg.errors import AdminShutdown, DeadlockDetected

from sandbox.day.ledger import Committed
from schemas.contacts import contact_key
from tests.simulation.outbox.tables import Contact, Parked, Row, Stored, Tables

Payload = dict[str, Any]
# A row lock of a contact or an advisory lock of a user: which of the two, and its name.
Name = tuple[str, str]


class RowLocks:
    """Locks that a transaction holds until its end. Whoever waits for one gets it in the order of asking."""

    def __init__(self) -> None:
        self._holders: Final[dict[Name, Transaction]] = {}
        self._waiting: Final[dict[Name, deque[tuple[Transaction, asyncio.Future[None]]]]] = {}

    async def take(self, name: Name, transaction: "Transaction") -> None:
        """Return once *transaction* holds the lock. Raises DeadlockDetected, AdminShutdown: then it was rolled back."""
        holder = self._holders.setdefault(name, transaction)
        if holder is transaction:
            transaction.holds.add(name)
            return
        while holder.waits_for is not None:
            holder = self._holders[holder.waits_for]
            if holder is transaction:
                transaction.rollback()
                raise DeadlockDetected("deadlock detected")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(name, deque()).append((transaction, turn))
        transaction.waits_for, transaction.turn = name, turn
        try:
            await turn
        finally:
            transaction.waits_for = None
        if transaction.ended:
            raise AdminShutdown("terminating connection due to administrator command")

    def release(self, transaction: "Transaction") -> None:
        """Pass the transaction's locks on to those who wait for them."""
        # A set's order depends on hashes of texts, which differ from one run to the next.
        for name in sorted(transaction.holds):
            del self._holders[name]
            waiting = self._waiting.get(name)
            while waiting:
                waiter, turn = waiting.popleft()
                if not turn.done() and not waiter.ended:
                    self._holders[name] = waiter
                    waiter.holds.add(name)
                    waiter.waits_for = None
                    turn.set_result(None)
                    break
        transaction.holds.clear()
        if transaction.turn is not None and not transaction.turn.done():
            transaction.turn.set_result(None)


class Transaction:
    """A transaction in READ COMMITTED. `track` waits for locks of others; what it writes is seen after `commit`."""

    def __init__(
        self,
        virtual: str,
        now: datetime,
        tables: Tables,
        locks: RowLocks,
        *,
        new_id: Callable[[], str],
        relay_sleeps: Callable[["Transaction"], bool],
        end: Callable[["Transaction"], None],
    ) -> None:
        self.virtual: Final = virtual
        self.now: Final = now
        self._tables: Final = tables
        self._locks: Final = locks
        self._new_id: Final = new_id
        self._relay_sleeps: Final = relay_sleeps
        self._end: Final = end
        self.holds: Final[set[Name]] = set()
        self.waits_for: Name | None = None
        self.turn: asyncio.Future[None] | None = None
        self.ended = self.writes = self.notifies = self.shares_asleep_lock = False
        self.rows: Final[list[Stored]] = []
        self.events: Final[list[Committed]] = []
        # What this transaction alone sees.
        self._contacts: Final[dict[str, Contact]] = {}
        self._directory: Final[dict[str, str]] = {}
        self._parked: Final[dict[str, tuple[Parked, ...]]] = {}

    async def track(self, event_type: str, payload: Payload, occurred_at: datetime | None = None) -> str:
        """Track an event, and return its id. An error of the database ends the transaction."""
        self._must_be_open()
        return await self._track(event_type, payload, occurred_at or self.now)

    async def track_several(self, events: Iterable[tuple[str, Payload]]) -> list[str]:
        """Track events as `track_lifecycle_events` does, which locks in one order for everybody."""
        self._must_be_open()
        events = list(events)
        users = sorted({payload["user_id"] for _, payload in events if "user_id" in payload})
        for user in users:
            await self._locks.take(("user", user), self)
        keys = {contact_key(payload["email"]) for _, payload in events if "email" in payload}
        for key in sorted(keys.union(key for user in users if (key := self._known(user)) is not None)):
            await self._locks.take(("contact", key), self)
        return [await self.track(event_type, payload) for event_type, payload in events]

    def insert(self, key: str | None, event_type: str, sequence: int | None, value: str, event_id: str = "") -> int:
        """Insert a row by hand, without the SQL function. Return its position."""
        # The table's lock, which WRITERS looks at, comes before the position.
        self._must_be_open()
        self.writes = True
        position = self._tables.next_position
        self._tables.next_position += 1
        octets = sum(len(text.encode()) for text in (key or "", event_type, value))
        row: Row = (position, event_id or self._new_id(), key, event_type, sequence, value, None)
        self.rows.append(Stored(row, octets, self.now))
        return position

    def commit(self) -> None:
        self._must_be_open()
        self._tables.insert(self.rows)
        self._tables.contacts.update(self._contacts)
        self._tables.directory.update(self._directory)
        for user, parked in self._parked.items():
            if parked:
                self._tables.parked[user] = parked
            else:
                self._tables.parked.pop(user, None)
        self._finish()

    def rollback(self) -> None:
        """Undo all but the positions that it took, as also happens when its connection ends."""
        if self.ended:
            return
        self.events.clear()
        self.notifies = False
        self._finish()

    def _finish(self) -> None:
        self.ended = True
        self._end(self)
        self._locks.release(self)

    def _must_be_open(self) -> None:
        if self.ended:
            raise AdminShutdown("terminating connection due to administrator command")

    async def _track(self, event_type: str, payload: Payload, occurred_at: datetime) -> str:
        event_id = self._new_id()
        user = payload.get("user_id")
        named = contact_key(payload["email"]) if "email" in payload else None
        known = await self._latest_known(user) if named is None and user is not None else self._known(user)
        if user is not None and (known is None or known != (named or known) or self._parked_of(user)):
            await self._locks.take(("user", user), self)
            known = self._known(user)
            if (named or known) is None:
                parked = Parked(event_id, event_type, payload, occurred_at)
                self._parked[user] = (*self._parked_of(user), parked)
                return event_id
            if named is not None and named != known:
                await self._learn(user, named, known)
            await self._release(user, named or known or "")
        await self._write(event_id, event_type, payload, occurred_at, named or known or "")
        if not self.shares_asleep_lock and self._relay_sleeps(self):
            self.notifies = True
        return event_id

    async def _latest_known(self, user: str) -> str | None:
        """Return the user's contact. In the common case, of a contact's latest user, it is locked then."""
        key = self._known(user)
        if key is not None and self._contact(key).external_id == user and not self._parked_of(user):
            await self._locks.take(("contact", key), self)
        # Whoever held the lock may have given the user another contact.
        return self._known(user)

    async def _learn(self, user: str, key: str, known: str | None) -> None:
        for one in sorted({key, known or key}):
            await self._locks.take(("contact", one), self)
        if known is not None and self._contact(known).external_id == user:
            self._contacts[known] = self._contact(known)._replace(external_id=None)
        self._contacts[key] = self._contact(key)._replace(external_id=user)
        self._directory[user] = key

    async def _release(self, user: str, key: str) -> None:
        parked = self._parked_of(user)
        if parked:
            self._parked[user] = ()
        for one in parked:
            await self._write(one.event_id, one.event_type, one.payload, one.occurred_at, key)

    async def _write(self, event_id: str, event_type: str, payload: Payload, occurred_at: datetime, key: str) -> None:
        await self._locks.take(("contact", key), self)
        contact = _after(self._contact(key), event_type, payload)
        self._contacts[key] = contact
        value = envelope(event_id, event_type, payload, occurred_at, key, contact)
        self.insert(key, event_type, contact.sequence, value, event_id)
        self.events.append(Committed(event_id, key, contact.sequence, event_type, contact.totals, self.now))

    def _contact(self, key: str) -> Contact:
        return self._contacts.get(key) or self._tables.contacts.get(key) or Contact()

    def _known(self, user: str | None) -> str | None:
        return None if user is None else self._directory.get(user) or self._tables.directory.get(user)

    def _parked_of(self, user: str) -> tuple[Parked, ...]:
        own = self._parked.get(user)
        return self._tables.parked.get(user, ()) if own is None else own


def _after(contact: Contact, event_type: str, payload: Payload) -> Contact:
    earned = payload["amount_cents"] if event_type == "nova_earned" else 0
    redeemed = payload["amount_cents"] if event_type == "nova_redeemed" else 0
    return Contact(
        contact.external_id,
        contact.sequence + 1,
        contact.earned_cents + earned,
        contact.redeemed_cents + redeemed,
    )


def envelope(
    event_id: str, event_type: str, payload: Payload, occurred_at: datetime, key: str, contact: Contact
) -> str:
    """Return the envelope as PostgreSQL prints it: jsonb sorts names by their length, then by their letters."""
    made = {
        "id": event_id,
        "type": event_type,
        "totals": contact.totals,
        "contact": {"email": key, "external_id": contact.external_id},
        "payload": {name: payload[name] for name in sorted(payload, key=lambda name: (len(name), name))},
        "sequence": contact.sequence,
        "occurred_at": f"{occurred_at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}",
        "schema_version": 1,
    }
    return json.dumps(made, ensure_ascii=False)
