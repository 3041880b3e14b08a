"""Contacts that were moved: which keys belong together, and whose events go where."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from hubspot_consumer.delivery.destination import DryRun
from hubspot_consumer.history.email_changes import EmailChanges
from hubspot_consumer.history.store import EventStore
from hubspot_consumer.hubspot.client import WaitForSlot
from hubspot_consumer.hubspot.requests import KnownContact, KnownContacts
from schemas.contacts import ContactKey

OLD, NEW, NEWEST = (ContactKey(f"{name}@example.com") for name in ("old", "new", "newest"))


class Portal(DryRun):
    """Knows some contacts, and moves those it is told to."""

    def __init__(self, **ids: str) -> None:
        self.ids = {f"{name}@example.com": contact_id for name, contact_id in ids.items()}

    async def known_contacts(self, keys: Sequence[ContactKey], slot: WaitForSlot) -> KnownContacts:  # type: ignore[override]  # noqa: ARG002
        return {key: KnownContact(self.ids[key], 0) if key in self.ids else None for key in keys}

    async def move(self, contact_id: str, key: ContactKey) -> None:
        self.ids = {email: held for email, held in self.ids.items() if held != contact_id} | {key: contact_id}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    store = EventStore(tmp_path / "store")
    # Not in the order of their emails.
    store.note_move(OLD, NEW, 1)
    store.note_move(NEW, NEWEST, 2)
    yield store
    store.close()


async def settled(store: EventStore, portal: Portal, *, move: bool = True) -> EmailChanges:
    moved = EmailChanges(store)
    assert await moved.resolve([NEWEST, OLD, NEW], cast("Any", portal), portal.slot, move=move) is None
    return moved


async def test_one_that_was_moved_twice_has_all_its_histories_under_the_newest_key(store: EventStore) -> None:
    moved = await settled(store, Portal(newest="1"))

    assert [tuple(moved.histories(key)) for key in (OLD, NEW, NEWEST)] == [(), (), (OLD, NEW, NEWEST)]


async def test_whom_hubspot_still_has_under_the_older_key_is_moved(store: EventStore) -> None:
    portal = Portal(old="1")

    moved = await settled(store, portal)

    assert portal.ids == {NEWEST: "1"}
    assert tuple(moved.histories(NEWEST)) == (OLD, NEW, NEWEST)


async def test_an_audit_moves_nobody(store: EventStore) -> None:
    portal = Portal(old="1")

    moved = await settled(store, portal, move=False)

    assert portal.ids == {OLD: "1"}
    assert tuple(moved.histories(OLD)) == (OLD,)


async def test_two_contacts_of_both_keys_stay_two(store: EventStore) -> None:
    moved = await settled(store, Portal(old="1", newest="2", new="3"))

    assert [tuple(moved.histories(key)) for key in (OLD, NEW, NEWEST)] == [(OLD,), (NEW,), (NEWEST,)]


def test_the_keys_of_one_contact_come_together(store: EventStore) -> None:
    store.note_move(ContactKey("a@example.com"), ContactKey("b@example.com"), 3)

    together = EmailChanges(store).together([NEW])
    store.keep_moves(together)

    assert together == [OLD, NEWEST, NEW]
    assert EmailChanges(store).batches() == [[OLD, NEW, NEWEST]]


async def test_one_that_is_moved_while_it_is_about_to_be_written_is_left_for_later(store: EventStore) -> None:
    moved, portal = EmailChanges(store), Portal(newest="1")

    assert await moved.resolve([OLD], cast("Any", portal), portal.slot) is None

    assert tuple(moved.histories(OLD)) == ()


async def test_a_key_that_is_asked_about_alone_again_stays_what_it_was_with_the_others(store: EventStore) -> None:
    """Else the older of two contacts would not be written when HubSpot asks for it to be tried again later."""
    portal = Portal(old="1", newest="2", new="3")
    moved = await settled(store, portal)

    assert await moved.resolve([OLD], cast("Any", portal), portal.slot) is None

    assert tuple(moved.histories(OLD)) == (OLD,)


async def test_one_that_is_moved_to_an_email_whose_events_are_not_read_is_left_to_the_workers(
    store: EventStore,
) -> None:
    """Else the newer contact would get older values."""
    moved, portal = EmailChanges(store, contacts=[OLD, NEW]), Portal(new="1")
    keys = moved.together([NEW])

    assert await moved.resolve(keys, cast("Any", portal), portal.slot) is None

    assert (keys, moved.batches()) == ([OLD, NEW], [[OLD, NEW]])
    assert [tuple(moved.histories(key)) for key in keys] == [(), ()]
    assert portal.ids == {NEW: "1"}
