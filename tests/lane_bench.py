"""Lanes for a test to fill, and HubSpot as far as lanes can tell."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from hubspot_consumer.ordering.lane import ContactUpdate
from hubspot_consumer.ordering.lanes import Lanes
from schemas.contacts import ContactKey
from tests.clock import OwnedClock
from tests.samples import pending

ADA, GRACE = ContactKey("ada@example.com"), ContactKey("grace@example.com")


@dataclass
class Bench:
    """Lanes with a clock of their own, and a note of what was finished."""

    clock: OwnedClock = field(default_factory=OwnedClock)
    finished: Counter[tuple[str, int]] = field(default_factory=Counter)
    unfinished: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.lanes = Lanes(self.clock)

    def add(self, *sequences: int, key: ContactKey = ADA, readable: bool = True) -> None:
        for sequence in sequences:
            self.unfinished[sequence] += 1
            event = pending(sequence, lambda s=sequence: self._finish(key, s), key, readable=readable)  # type: ignore[misc]
            self.lanes.add(key, event)

    def _finish(self, key: ContactKey, sequence: int) -> None:
        self.finished[key, sequence] += 1
        self.unfinished[sequence] -= 1

    def restart(self) -> list[int]:
        """Forget everything; return what was read and not finished."""
        self.lanes.forget()
        unfinished, self.unfinished = self.unfinished, Counter()
        return [sequence for sequence, copies in unfinished.items() if copies > 0]

    def look_up(self, sequence: int | None = 0) -> None:
        for lane in self.lanes.take_unknown(100):
            self.lanes.known(lane, "1", sequence)

    @property
    def busy(self) -> int:
        return self.lanes.ready + self.lanes.new + self.lanes.unknown + self.lanes.holes + self.lanes.backing_off

    def take(self) -> list[ContactUpdate]:
        self.look_up()
        self.lanes.wake()
        return self.lanes.take_new(100) + self.lanes.take(100)

    def taken(self) -> list[list[int]]:
        """Take what is ready and finish it; return its sequences, fold by fold."""
        folds = self.take()
        for fold in folds:
            self.lanes.finished(fold)
        return [sequences_of(fold) for fold in folds]


def sequences_of(fold: ContactUpdate) -> list[int]:
    return [event.sequence for event in fold.events]


class HubSpot:
    """What HubSpot holds of one contact, and whether any write was wrong."""

    def __init__(self, readable: Sequence[int]) -> None:
        self._readable = readable
        self.holds: int | None = None
        self.entries: list[int] = []

    def write(self, fold: ContactUpdate) -> bool:
        """Apply a fold as HubSpot would; return False where it refuses to create what exists."""
        if fold.creates and self.holds is not None:
            return False
        newest = self.holds or 0
        assert sequences_of(fold) == [after for after in self._readable if after > newest][: len(fold.events)]
        self.holds = fold.events[-1].sequence
        return True


def answer(bench: Bench, hubspot: HubSpot, fold: ContactUpdate, chance: random.Random) -> None:
    """Let a call for *fold* end in one of the ways that it can."""
    outcome = chance.choice(["finished", "retry", "answer lost", "entries refused", "split"])
    if outcome == "retry":
        bench.lanes.retry(fold, wait_s=5)
    elif outcome == "split" and not fold.written and not fold.creates and len(fold.events) > 1:
        bench.lanes.split(fold)
    elif not fold.written and not hubspot.write(fold):
        bench.lanes.exists(fold)
    elif outcome == "answer lost":
        if fold.creates:
            bench.lanes.retry(fold, wait_s=5)
        else:
            hubspot.entries += sequences_of(fold)
            bench.lanes.finished(fold)
    elif outcome == "entries refused":
        fold.written = True
        bench.lanes.retry(fold, wait_s=5)
    else:
        hubspot.entries += sequences_of(fold)
        bench.lanes.finished(fold)
    bench.clock.advance(5)
