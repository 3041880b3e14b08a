"""What the outbox holds of a contact, in a real PostgreSQL."""

from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from console.contacts.history import LATEST
from console.contacts.outbox import ContactsOutbox, OutboxAway
from producer import track_event
from schemas.contacts import ContactKey
from schemas.envelope import read_envelope
from tests.samples import EMAIL, PAYLOADS

ADA = ContactKey(EMAIL)


@pytest.fixture
def outbox(database_url: str) -> ContactsOutbox:
    return ContactsOutbox(lambda: database_url)


def commit(engine: Engine, *events: tuple[str, dict[str, Any]]) -> None:
    with Session(engine) as session, session.begin():
        for event_type, changes in events:
            track_event(session, event_type, {**PAYLOADS[event_type], **changes})


async def test_it_tells_a_contacts_unpublished_events_in_order(engine: Engine, outbox: ContactsOutbox) -> None:
    commit(engine, ("driver_signed_up", {}), ("nova_earned", {}), ("nova_redeemed", {}))
    commit(engine, ("driver_signed_up", {"user_id": "usr_2", "email": "grace@example.com"}))

    known, events = await outbox.of(ADA, LATEST, 50)

    assert known is not None
    assert (known.external_id, known.sequence) == ("usr_1", 3)
    assert [(each.sequence, each.type) for each in events] == [
        (1, "driver_signed_up"),
        (2, "nova_earned"),
        (3, "nova_redeemed"),
    ]
    assert all(str(read_envelope(each.key.encode(), each.value).id) == each.id for each in events)
    assert events[0].committed_at.tzinfo is not None


async def test_of_many_it_tells_the_newest_below_a_sequence(engine: Engine, outbox: ContactsOutbox) -> None:
    commit(engine, ("driver_signed_up", {}), *[("nova_earned", {})] * 9)
    _, events = await outbox.of(ADA, 8, 3)
    assert [each.sequence for each in events] == [5, 6, 7]


async def test_events_without_an_email_are_parked_and_found_by_their_user(
    engine: Engine, outbox: ContactsOutbox
) -> None:
    commit(engine, ("nova_earned", {"user_id": "usr_9"}), ("nova_redeemed", {"user_id": "usr_9"}))

    assert await outbox.contact_of("usr_9") is None
    assert [each.type for each in await outbox.parked("usr_9", 50)] == ["nova_earned", "nova_redeemed"]

    commit(engine, ("driver_signed_up", {"user_id": "usr_9", "email": "Grace@example.com"}))

    assert await outbox.contact_of("usr_9") == "grace@example.com"
    assert await outbox.parked("usr_9", 50) == []


async def test_a_contact_that_nobody_knows_is_none(outbox: ContactsOutbox) -> None:
    assert await outbox.of(ADA, LATEST, 50) == (None, [])


async def test_it_can_change_nothing(outbox: ContactsOutbox) -> None:
    with pytest.raises(OutboxAway, match="ReadOnlySqlTransaction"):
        await outbox._ask(("DELETE FROM outbox_events", ()))


async def test_a_database_that_takes_long_is_not_waited_for(outbox: ContactsOutbox) -> None:
    with pytest.raises(OutboxAway, match="does not answer in time"):
        await outbox._ask(("SELECT pg_sleep(30)", ()))


async def test_a_database_without_an_outbox_is_said_to_be_one(empty_database_url: str) -> None:
    with pytest.raises(OutboxAway, match=r"can't be read \(UndefinedTable\)"):
        await ContactsOutbox(lambda: empty_database_url).of(ADA, LATEST, 50)
