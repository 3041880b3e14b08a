"""The ledger: the events committed in the outbox, compared with what HubSpot accepted and the dead letters.

A trigger writes it in the transaction of the outbox row, so an entry exists if and only if the event does.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Self

import psycopg

EVENT_SEQUENCE: Final = "nerava_event_sequence"

TRIGGER: Final = """
CREATE TABLE sandbox_ledger (
    id uuid NOT NULL, contact_key text, sequence bigint, type text, totals jsonb, committed_at timestamptz
);
CREATE FUNCTION sandbox_ledger_write() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO sandbox_ledger
    VALUES (NEW.id, NEW.aggregateid, NEW.sequence, NEW.type, NEW.payload -> 'totals', clock_timestamp());
    RETURN NULL;
END $$;
CREATE TRIGGER sandbox_ledger AFTER INSERT ON outbox_events FOR EACH ROW EXECUTE FUNCTION sandbox_ledger_write();
"""


@dataclass(frozen=True)
class Committed:
    """One event as it was committed."""

    id: str
    contact_key: str
    sequence: int
    type: str
    totals: Mapping[str, int]
    committed_at: datetime


@dataclass(frozen=True)
class Accepted:
    """Data accepted by HubSpot: event ids and times of the timeline entries, oldest first, and contacts by email."""

    entries: Sequence[tuple[str, datetime]]
    contacts: Mapping[str, Mapping[str, Any]]


@dataclass
class Findings:
    """The errors, as event ids or contact keys; all are empty if every event took effect once, in order."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    out_of_order: list[str] = field(default_factory=list)
    backwards: list[str] = field(default_factory=list)
    wrong_totals: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return any((self.lost, self.doubled, self.out_of_order, self.backwards, self.wrong_totals))


class Ledger:
    """The committed events by id, and in the order of sequence by contact."""

    def __init__(self, events: Sequence[Committed]) -> None:
        self.events: Final = {event.id: event for event in events}
        self._by_contact: defaultdict[str, list[Committed]] = defaultdict(list)
        for event in sorted(events, key=lambda event: event.sequence):
            self._by_contact[event.contact_key].append(event)

    @staticmethod
    async def install(database_url: str) -> None:
        """Install the trigger that writes the ledger in a migrated database."""
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
            await connection.execute(TRIGGER)

    @classmethod
    async def read(cls, database_url: str) -> Self:
        """Return the current ledger."""
        async with await psycopg.AsyncConnection.connect(database_url) as connection:
            rows = await connection.execute(
                "SELECT id::text, coalesce(contact_key, ''), coalesce(sequence, 0), type, totals, committed_at"
                " FROM sandbox_ledger"
            )
            return cls([Committed(*row) for row in await rows.fetchall()])

    @property
    def contacts(self) -> int:
        return len(self._by_contact)

    def busiest_contact(self) -> str:
        """Return the contact key with the most events."""
        return max(self._by_contact, key=lambda key: len(self._by_contact[key]), default="")

    def compare(self, accepted: Accepted, dead_letters: Sequence[str]) -> Findings:
        """Return the errors in what HubSpot *accepted*, given the event ids of the *dead_letters*."""
        findings, dead = Findings(), set(dead_letters)
        times = Counter(event_id for event_id, _ in accepted.entries)
        findings.lost = [event_id for event_id in self.events if not times[event_id] and event_id not in dead]
        findings.doubled = [event_id for event_id, number in times.items() if number > 1]
        findings.out_of_order = self._out_of_order(accepted)
        for key, events in self._by_contact.items():
            delivered = [event for event in events if event.id not in dead]
            if not delivered:
                continue
            contact = accepted.contacts.get(key, {"properties": {}, "writes": []})
            if _went_backwards(contact) or _sequence(contact["properties"]) != delivered[-1].sequence:
                findings.backwards.append(key)
            if _totals_differ(contact["properties"], delivered):
                findings.wrong_totals.append(key)
        return findings

    def _out_of_order(self, accepted: Accepted) -> list[str]:
        last: dict[str, int] = {}
        found = []
        for event_id, _ in accepted.entries:
            if (event := self.events.get(event_id)) is None:
                continue
            if event.sequence < last.get(event.contact_key, 0):
                found.append(event_id)
            last[event.contact_key] = max(event.sequence, last.get(event.contact_key, 0))
        return found

    def latencies_s(self, accepted: Accepted) -> list[float]:
        """Return the seconds from each event's commit to its timeline entry, in ascending order."""
        return sorted(
            (at - self.events[event_id].committed_at).total_seconds()
            for event_id, at in accepted.entries
            if event_id in self.events
        )


def _went_backwards(contact: Mapping[str, Any]) -> bool:
    sequences = [_sequence(write["properties"]) for write in contact["writes"] if EVENT_SEQUENCE in write["properties"]]
    return sequences != sorted(sequences)


def _sequence(properties: Mapping[str, str]) -> int:
    return int(float(properties.get(EVENT_SEQUENCE) or 0))


def _totals_differ(properties: Mapping[str, str], delivered: Sequence[Committed]) -> bool:
    for kind in ("nova_earned", "nova_redeemed"):
        newest = next((event for event in reversed(delivered) if event.type == kind), None)
        if newest is not None:
            held = properties.get(f"nerava_total_{kind}_cents")
            if held is None or int(float(held)) != newest.totals[f"{kind}_cents"]:
                return True
    return False
