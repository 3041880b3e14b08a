"""The shelves: the dead letters sorted by what pages ask for, so that a page need not look at each of them."""

from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from heapq import merge, nlargest
from itertools import chain
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeVar

from console.dead_letters.groups import Group
from hubspot_consumer.dead_letters.assembly import Change
from hubspot_consumer.dead_letters.dead_letter import Letter, LetterFilter
from hubspot_consumer.dead_letters.resolutions import OPEN, State

T = TypeVar("T")
# Up to so many changes of a list are inserted or deleted one by one; with more, sorting is faster.
FEW: Final = 1_000
Cursor = tuple[int, int, int]
"""Where a dead letter stands in the order of the shelves: see `Letter.begun`."""


class Label(NamedTuple):
    """What the dead letters of a shelf have in common."""

    state: State
    reason: str
    event_type: str


class Shelf(NamedTuple):
    """Dead letters in the order in which they were first set aside, the times of their newest refusals in order, and
    the number of dead letters of each key that names a contact.
    """

    letters: Sequence[Letter] = ()
    times: Sequence[datetime] = ()
    keys: Mapping[bytes, int] = MappingProxyType({})

    def changed(self, gone: Sequence[Letter], new: Sequence[Letter]) -> "Shelf":
        """Return the shelf without the dead letters *gone*, and with the *new* ones."""
        keys = dict(self.keys)
        for letters, by in ((new, 1), (gone, -1)):
            for key in map(attrgetter("key"), letters):
                # To check each key as an email would take seconds for a million.
                if key is None or b"@" not in key:
                    continue
                keys[key] = keys.get(key, 0) + by
                if not keys[key]:
                    del keys[key]
        return Shelf(
            _changed(self.letters, gone, new, Letter.begun),
            _changed(self.times, [each.failed_at for each in gone], [each.failed_at for each in new], lambda at: at),
            keys,
        )


class Page(NamedTuple):
    """Some of the dead letters that a filter takes, the newest first: *found* in all, and *newer* before the page."""

    found: int
    newer: int
    letters: Sequence[Letter]


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

    def page(self, which: LetterFilter, most: int, before: Cursor | None = None) -> Page:
        """Return the *most* dead letters that *which* takes and that were last set aside, of those *before* a place."""
        shelves = [shelf.letters for label, shelf in self._shelves.items() if _may_take(which, label)]
        if which.contact is not None or which.ids or (which.since or which.until) is not None:
            shelves = [list(filter(which.takes, letters)) for letters in shelves]
        ends = [
            len(letters) if before is None else bisect_left(letters, before, key=Letter.begun) for letters in shelves
        ]
        listed = chain.from_iterable(
            letters[max(0, end - most) : end] for letters, end in zip(shelves, ends, strict=True)
        )
        found = sum(map(len, shelves))
        return Page(found, found - sum(ends), nlargest(most, listed, key=Letter.begun))

    def all(self, which: LetterFilter) -> Iterator[Letter]:
        """Yield all dead letters that *which* takes, the newest first, without a copy of them."""
        shelves = [reversed(shelf.letters) for label, shelf in self._shelves.items() if _may_take(which, label)]
        return filter(which.takes, merge(*shelves, key=Letter.begun, reverse=True))

    @cached_property
    def groups(self) -> Sequence[Group]:
        """The open dead letters by reason: the worst group, which concerns the most contacts, first."""
        by_reason = defaultdict[str, list[Shelf]](list)
        for label, shelf in self._shelves.items():
            if label.state in OPEN:
                by_reason[label.reason].append(shelf)
        groups = [
            Group(
                reason,
                sorted(chain.from_iterable(shelf.times for shelf in shelves)),
                max(map(_newest, shelves), key=attrgetter("failed_at")),
                len(shelves[0].keys.keys() if len(shelves) == 1 else set().union(*(shelf.keys for shelf in shelves))),
            )
            for reason, shelves in by_reason.items()
        ]
        return sorted(groups, key=lambda group: (-group.contacts, -len(group.times), group.reason))


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
