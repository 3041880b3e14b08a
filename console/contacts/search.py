"""The search: finds a contact by email or external id, in the index and in the outbox."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from console.contacts.extract import Extract
from console.contacts.filters import Filter, Shown
from console.contacts.history import EVENTS_ON_A_PAGE, LATEST, Historian
from console.contacts.index import Index, IndexAway
from console.contacts.indexer import IndexState
from console.contacts.outbox import ContactsOutbox, OutboxAway, OutboxContact, Parked, Unpublished
from schemas.contacts import ContactKey, contact_key
from schemas.topics import Topics

MOST_CONTACTS: Final = 20
EVERYTHING: Final = Filter()


@dataclass
class FoundContact:
    """The result for the words *asked*. `away` and `outbox_away` say why the index or the outbox was not read."""

    asked: str
    state: IndexState
    key: ContactKey | None = None
    choices: Sequence[ContactKey] = ()
    shown: Shown | None = None
    known: OutboxContact | None = None
    parked: Sequence[Parked] = ()
    keys_before: Sequence[ContactKey] = ()
    keys_after: Sequence[ContactKey] = ()
    external_ids: Sequence[str] = ()
    away: str | None = None
    outbox_away: str | None = None

    @property
    def is_there(self) -> bool:
        """Whether anything is known of the contact."""
        return bool(self.shown and self.shown.groups) or self.known is not None


@dataclass(frozen=True)
class Search:
    """Reads the outbox before the index, so that an event that is published in between is not missed."""

    index: Index
    topics: Topics
    state: Callable[[], IndexState]
    outbox: ContactsOutbox

    async def find(self, asked: str, before: int = LATEST, wanted: Filter = EVERYTHING) -> FoundContact:
        """Return the contact that has this email, regardless of upper and lower case, or this external id.

        Its page has the events below *before* that are *wanted*.
        """
        found = FoundContact(asked.strip(), self.state())
        keys = await self._keys(found)
        if len(keys) == 1:
            found.key = keys[0]
            unpublished = await self._unpublished(found, keys[0], before, wanted.window)
            try:
                await asyncio.to_thread(self._read_index, found, keys[0], before, unpublished, wanted)
            except IndexAway as why:
                found.away = str(why)
        found.choices = keys if len(keys) > 1 else ()
        return found

    async def _keys(self, found: FoundContact) -> list[ContactKey]:
        email = _as_key(found.asked)
        keys = set[ContactKey]()
        if email is None:
            try:
                keys.update([named] if (named := await self.outbox.contact_of(found.asked)) else [])
                found.parked = await self.outbox.parked(found.asked, EVENTS_ON_A_PAGE)
            except OutboxAway as why:
                found.outbox_away = str(why)
        try:
            keys.update(await asyncio.to_thread(self._keys_in_index, found.asked, email))
        except IndexAway as why:
            found.away = str(why)
        # An email that the index lacks is still a key: its events may be in the outbox.
        return sorted(keys) or ([email] if email is not None else [])

    def _keys_in_index(self, asked: str, email: ContactKey | None) -> list[ContactKey]:
        with Extract.of(self.index, self.topics) as extract:
            if email is not None and extract.knows(email):
                return [email]
            # An external id may look like an email.
            return extract.contacts_of(asked, MOST_CONTACTS)

    async def _unpublished(self, found: FoundContact, key: ContactKey, before: int, most: int) -> Sequence[Unpublished]:
        if found.outbox_away:
            return ()
        try:
            found.known, unpublished = await self.outbox.of(key, before, most + 1)
        except OutboxAway as why:
            found.outbox_away = str(why)
            return ()
        return unpublished

    def _read_index(
        self, found: FoundContact, key: ContactKey, before: int, unpublished: Sequence[Unpublished], wanted: Filter
    ) -> None:
        with Extract.of(self.index, self.topics) as extract:
            historian = Historian(extract, found.state.acked)
            history = historian.history(key, before, found.known, unpublished, wanted.window)
            found.shown = wanted.of(history)
            moves = extract.moves(key)
            found.keys_before = [previous for _, previous, after in moves if after == key]
            found.keys_after = [after for _, previous, after in moves if previous == key]
        external_ids = {each.record.external_id for each in history.events if each.record is not None}
        if found.known is not None:
            external_ids.add(found.known.external_id)
        found.external_ids = sorted(filter(None, external_ids))


def _as_key(asked: str) -> ContactKey | None:
    try:
        return contact_key(asked)
    except ValueError:
        return None
