"""The tables of a simulated outbox: what is committed, as everybody sees it."""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple, Self

# As HEAD returns it: position, id, aggregateid, type, sequence, payload, traceparent.
Row = tuple[int, str, str | None, str, int | None, str | None, str | None]


class Stored(NamedTuple):
    """A row of `outbox_events`, the octets of its texts, and when its transaction began."""

    row: Row
    octets: int
    created_at: datetime


class Contact(NamedTuple):
    """A row of `outbox_contacts`."""

    external_id: str | None = None
    sequence: int = 0
    earned_cents: int = 0
    redeemed_cents: int = 0

    @property
    def totals(self) -> dict[str, int]:
        return {"nova_earned_cents": self.earned_cents, "nova_redeemed_cents": self.redeemed_cents}


class Parked(NamedTuple):
    """A row of `outbox_parked`."""

    event_id: str
    event_type: str
    payload: dict[str, Any]
    occurred_at: datetime


@dataclass
class Tables:
    """The tables, and the next position that an insert gets."""

    events: dict[int, Stored] = field(default_factory=dict)
    # The positions of `events`, sorted.
    positions: list[int] = field(default_factory=list)
    published: deque[tuple[datetime, Row]] = field(default_factory=deque)
    contacts: dict[str, Contact] = field(default_factory=dict)
    directory: dict[str, str] = field(default_factory=dict)
    parked: dict[str, tuple[Parked, ...]] = field(default_factory=dict)
    next_position: int = 1

    def copy(self) -> Self:
        """Return these tables as a backup has them."""
        return replace(
            self,
            events=dict(self.events),
            positions=list(self.positions),
            published=deque(self.published),
            contacts=dict(self.contacts),
            directory=dict(self.directory),
            parked=dict(self.parked),
        )

    def insert(self, rows: Iterable[Stored]) -> None:
        for stored in rows:
            position = stored.row[0]
            self.events[position] = stored
            if not self.positions or self.positions[-1] < position:
                self.positions.append(position)
            else:
                insort(self.positions, position)

    def delete(self, positions: Iterable[int]) -> list[Row]:
        """Delete those of these rows that are there, and return them."""
        deleted: list[Row] = []
        for position in positions:
            if (stored := self.events.pop(position, None)) is not None:
                del self.positions[bisect_left(self.positions, position)]
                deleted.append(stored.row)
        return deleted

    def head(self, first: int, without: set[int], rows: int, octets: int) -> list[Row]:
        """Return what HEAD does."""
        found: list[Row] = []
        before = 0
        for at in range(bisect_left(self.positions, first), len(self.positions)):
            if len(found) >= rows or before > octets:
                break
            position = self.positions[at]
            if position not in without:
                stored = self.events[position]
                found.append(stored.row)
                before += stored.octets
        return found
