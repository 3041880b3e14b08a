"""Where the outbox is read from: behind the positions at which no row is and none can appear.

See docs/decisions/0073-where-reading-begins.md.
"""

from collections.abc import Collection
from typing import Final, NamedTuple

# A row that was inserted by hand may have any position.
BEFORE_ALL: Final = -(2**63) - 1
# pg_locks names a prepared transaction by a new name, which begins so.
_PREPARED: Final = "-1/"


class Writers(NamedTuple):
    """The newest position that was given, and the transactions open since then that may have one up to it.

    *exact* is False where the sequence can't be read, or gives positions ahead of their use. *newest* is then the
    highest position that is visible.
    """

    newest: int
    exact: bool
    transactions: frozenset[str]


class LowWatermark:
    """A position up to which no further row can appear. It learns from looks at the writers, given in their order."""

    def __init__(self) -> None:
        self.position = 0
        self.exact = False
        self._newest = self._next = 0
        self._seen = self._awaited = frozenset[str]()

    def observe(self, now: Writers) -> bool:
        """Return False if positions are given again, because somebody has set the sequence back."""
        goes_on = now.newest >= self._newest or not now.exact
        if not goes_on:
            self.position = 0
            self._awaited = now.transactions
            self._next = now.newest
        else:
            self._awaited = self._still_open(now.transactions)
            if not self._awaited:
                self.position, self._next, self._awaited = self._next, now.newest, now.transactions
            if not now.transactions:
                self.position = now.newest
        self._newest, self.exact, self._seen = now.newest, now.exact, now.transactions
        return goes_on

    def _still_open(self, transactions: frozenset[str]) -> frozenset[str]:
        """Return what is awaited. A transaction that is gone may be one that is prepared now, under another name."""
        is_open = self._awaited & transactions
        if any(not name.startswith(_PREPARED) for name in self._awaited - transactions):
            is_open |= {name for name in transactions - self._seen if name.startswith(_PREPARED)}
        return is_open


class ReadingPoint:
    """The positions up to which a relay has read all rows (`after`), and up to which all of these are gone."""

    def __init__(self) -> None:
        self.after = self._gone = BEFORE_ALL

    def begin(self) -> None:
        """Begin with the first row."""
        self.after = self._gone = BEFORE_ALL

    def go_on(self, to: int, held: Collection[int]) -> None:
        """All rows were read up to *to*, and those that are left of them are *held*."""
        self._gone = max(self._gone, min(to, min(held, default=to + 1) - 1))

    def rewind(self) -> None:
        """Read all rows again that may be there."""
        self.after = self._gone

    def heed(self, first: int) -> None:
        """Read again from the row at *first*, if no row should be there: somebody has inserted it by hand."""
        if first <= self._gone:
            self.after = self._gone = first - 1
