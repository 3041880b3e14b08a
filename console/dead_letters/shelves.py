"""The shelves: the dead letters sorted by what pages ask for, so that a page need not look at each of them."""

from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from heapq import nlargest
from itertools import chain
from operator import attrgetter
from typing import Any, Final, NamedTuple, TypeVar

from console.dead_letters.groups import Group
from hubspot_consumer.dead_letters.assembly import Change
from hubspot_consumer.dead_letters.dead_letter import Letter, LetterFilter
from hubspot_consumer.dead_letters.resolutions import OPEN, State

T = TypeVar("T")
# Up to so many changes of a list are inserted or deleted one by one; with more, sorting is faster.
FEW: Final = 1_000


class Label(NamedTuple):
    """What the dead letters of a shelf have in common."""

    state: State
    reason: str
    event_type: str


class Shelf(NamedTuple):
    """Dead letters in the order in which they were first set aside, and the times of their newest refusals in order."""

    letters: Sequence[Letter] = ()
    times: Sequence[datetime] = ()

    def changed(self, gone: Sequence[Letter], new: Sequence[Letter]) -> "Shelf":
        """Return the shelf without the dead letters *gone*, and with the *new* ones."""
        return Shelf(
            _changed(self.letters, gone, new, Letter.begun),
            _changed(self.times, [each.failed_at for each in gone], [each.failed_at for each in new], lambda at: at),
        )


class Shelves:
    """The dead letters of one moment. They never change: `changed` returns new ones, which share the other shelves."""

    def __init__(self, shelves: Mapping[Label, Shelf] | None = None) -> None:
        self._shelves: Final = shelves or {}

    def changed(self, changes: Iterable[Change]) -> "Shelves":
        """Return the shelves after *changes*."""
        gone, new = defaultdict[Label, list[Letter]](list), defaultdict[Label, list[Letter]](list)
        for before, after in changes:
            if before is not None:
                gone[_label(before)].append(before)
            if after is not None:
                new[_label(after)].append(after)
        touched = {label: self._shelves.get(label, Shelf()).changed(gone[label], new[label]) for label in {*gone, *new}}
        return Shelves({label: shelf for label, shelf in {**self._shelves, **touched}.items() if shelf.letters})

    def newest(self, which: LetterFilter, most: int) -> tuple[int, list[Letter]]:
        """Return how many dead letters *which* takes, and the *most* that were last set aside, the newest first."""
        shelves = [shelf.letters for label, shelf in self._shelves.items() if _may_take(which, label)]
        if which.contact is not None or which.ids or which.since is not None:
            shelves = [list(filter(which.takes, letters)) for letters in shelves]
        found = chain.from_iterable(letters[-most:] for letters in shelves)
        return sum(map(len, shelves)), nlargest(most, found, key=Letter.begun)

    @cached_property
    def groups(self) -> Sequence[Group]:
        """The open dead letters by reason, the largest group first."""
        by_reason = defaultdict[str, list[Shelf]](list)
        for label, shelf in self._shelves.items():
            if label.state in OPEN:
                by_reason[label.reason].append(shelf)
        groups = [
            Group(
                reason,
                sorted(chain.from_iterable(shelf.times for shelf in shelves)),
                max(map(_newest, shelves), key=attrgetter("failed_at")),
            )
            for reason, shelves in by_reason.items()
        ]
        return sorted(groups, key=lambda group: (-len(group.times), group.reason))


def _label(letter: Letter) -> Label:
    return Label(letter.state, letter.reason, letter.event_type)


def _may_take(which: LetterFilter, label: Label) -> bool:
    return (
        label.state in which.states
        and (not which.reasons or label.reason in which.reasons)
        and (not which.event_types or label.event_type in which.event_types)
    )


def _newest(shelf: Shelf) -> Letter:
    # It is usually among the last that were set aside.
    return next(letter for letter in reversed(shelf.letters) if letter.failed_at == shelf.times[-1])


def _changed(items: Sequence[T], gone: Sequence[T], new: Sequence[T], key: Callable[[T], Any]) -> list[T]:
    """Return *items*, which are in the order of *key*, without the ones of equal keys in *gone*, and with *new*."""
    if len(gone) + len(new) > FEW:
        leaving = Counter(map(key, gone))

        def stays(item: T) -> bool:
            leaves = leaving[key(item)] > 0
            if leaves:
                leaving[key(item)] -= 1
            return not leaves

        return sorted(chain(filter(stays, items), new), key=key)
    kept = list(items)
    for each in gone:
        del kept[bisect_left(kept, key(each), key=key)]
    for each in new:
        insort(kept, each, key=key)
    return kept
