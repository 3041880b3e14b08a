"""Contacts in calls that have not ended, including calls that began before the last rebalance."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from schemas.contacts import ContactKey


class InFlight:
    """Counts calls by contact; `came_back` is called with each contact whose last call has ended."""

    def __init__(self) -> None:
        self._calls: Counter[ContactKey] = Counter()
        self.came_back: Callable[[ContactKey], object] = lambda _: None

    def __contains__(self, key: ContactKey) -> bool:
        return key in self._calls

    def begin(self, key: ContactKey) -> None:
        self._calls[key] += 1

    def end(self, key: ContactKey) -> None:
        self._calls[key] -= 1
        if self._calls[key] <= 0:
            del self._calls[key]
            self.came_back(key)

    @contextmanager
    def touching(self, key: ContactKey) -> Iterator[None]:
        """Count *key* as in a call for as long as the context lasts, because a call for another contact affects it."""
        self.begin(key)
        try:
            yield
        finally:
            self.end(key)
