"""What HubSpot remembers of a contact, after merges, moves, restarts, deletions and people's changes."""

import json
import tempfile
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from hubspot_consumer.delivery.resyncs import Resync
from hubspot_consumer.history.projection import Selection
from hubspot_consumer.history.store import Stored
from hubspot_consumer.hubspot.schema import LAST_EVENT_ID, SEQUENCE
from hubspot_consumer.kafka.records import Record
from schemas.contacts import ContactKey
from schemas.envelope import Headers
from schemas.times import moment_of
from tests.clock import run_fast
from tests.contract.delivering import Worker
from tests.contract.replaying import replayed
from tests.contract.test_delivery_property import portal_of_ours
from tests.contract.test_reused_sequences import read
from tests.samples import EMAIL, PAYLOADS, envelope

GRACE = "grace@example.com"


def record(
    sequence: int, email: str, number: int, balance: int, at: float | None = None, topic: str = "nova_earned"
) -> Record:
    payload = PAYLOADS["nova_earned"] | {"new_balance_cents": balance}
    made = envelope("nova_earned", sequence, email, id=str(UUID(int=1000 + number)), payload=payload)
    headers = Headers(made["id"], made["type"], made["sequence"]).encode()
    when = moment_of(number if at is None else at)
    return Record(f"lifecycle.{topic}", 0, number, when, email.encode(), json.dumps(made).encode(), headers)


def test_merged_by_a_person_where_the_primary_was_last_written_before_the_upgrade() -> None:
    portal = portal_of_ours()
    # Ada was written by the earlier version: the sequence alone.
    run_fast(Worker(portal, (), 1).read([record(n, EMAIL, n, 100 + n) for n in (1, 2, 3)]))
    ada = portal.contacts.by_email(EMAIL)
    assert ada is not None
    portal.contacts.update(ada, {LAST_EVENT_ID: ""})
    # Grace by this one.
    run_fast(Worker(portal, (), 1).read([record(n, GRACE, 10 + n, 200 + n) for n in range(1, 9)]))
    grace = portal.contacts.by_email(GRACE)
    assert grace is not None
    portal.contacts.merge(ada, grace, keeps_primary_id=False)
    merged = portal.contacts.by_email(EMAIL)
    assert merged is not None

    receipts = run_fast(Worker(portal, (), 1).read([record(n, EMAIL, 20 + n, 300 + n) for n in (4, 5)]))

    merged = portal.contacts.by_email(EMAIL)
    assert merged is not None
    assert [(each.sequence, each.outcome, each.reason) for each in receipts] == [
        (4, "delivered", None),
        (5, "delivered", None),
    ]
    assert merged.properties["nerava_nova_balance_cents"] == "305"


@pytest.mark.parametrize("ids_kept", [12, 9, 3])
def test_after_a_new_email_whose_first_event_a_worker_of_the_earlier_version_wrote(ids_kept: int) -> None:
    portal = portal_of_ours()
    run_fast(Worker(portal, (), 1).read([record(n, EMAIL, n, 100 + n) for n in range(1, ids_kept + 1)]))
    contact = portal.contacts.by_email(EMAIL)
    assert contact is not None
    # What d09b22c does with event 1 of the new email: it moves the contact and writes key and sequence, and no ids.
    portal.contacts.update(contact, {"email": GRACE, SEQUENCE: "1", "nerava_contact_key": GRACE})

    receipts = run_fast(Worker(portal, (), 1).read([record(n, GRACE, 20 + n, 300 + n) for n in (2, 3)]))

    assert [(each.sequence, each.outcome, each.reason) for each in receipts] == [
        (2, "delivered", None),
        (3, "delivered", None),
    ]
    contact = portal.contacts.by_email(GRACE)
    assert contact is not None
    assert contact.properties["nerava_nova_balance_cents"] == "303"


def test_after_a_restart_the_event_that_was_applied_is_no_dead_letter_although_its_twin_was_stored_first() -> None:
    portal = portal_of_ours()
    first = [record(n, EMAIL, n, 100 + n) for n in (1, 2)]
    applied = record(3, EMAIL, 5, 105, at=50)
    twin = record(3, EMAIL, 6, 106, at=40, topic="nova_redeemed")
    receipts = run_fast(Worker(portal, (), 1).read([*first, applied]))
    assert [each.outcome for each in receipts] == ["delivered"] * 3

    # Killed before the commit: both are read again.
    again = run_fast(Worker(portal, (), 1).read([applied, twin]))

    assert {(each.offset, each.reason) for each in again} == {(5, None), (6, "sequence_reused")}


def test_an_unverified_repeat_does_not_take_the_sequence_from_the_event_that_has_it() -> None:
    portal = portal_of_ours()
    events = [record(n, EMAIL, n, 100 + n) for n in (1, 2, 3)]
    run_fast(Worker(portal, (), 1).read(events))
    contact = portal.contacts.by_email(EMAIL)
    assert contact is not None
    portal.contacts.update(contact, {LAST_EVENT_ID: ""})
    other = record(2, EMAIL, 9, 999)
    following = record(4, EMAIL, 10, 104)

    # Event 2 is read again behind the other one: its partition was read again, or the relay sent it twice.
    worker = Worker(portal, (), 1)

    async def work() -> None:
        worker._offsets.assigned({("lifecycle.nova_earned", 0): 0})
        async with worker._delivering(lambda: worker._offsets.unfinished):
            worker._all_read = True
            for each in (other, following, replace(events[1], offset=11)):
                await worker._consumer.take(each)
                await worker._clock.sleep(60)

    run_fast(work())
    receipts = worker._receipts.whole

    contact = portal.contacts.by_email(EMAIL)
    assert contact is not None
    assert [each.reason for each in receipts if each.event_id == str(UUID(int=1002))] == [None]
    assert str(UUID(int=1009)) not in contact.properties[LAST_EVENT_ID]


@pytest.mark.parametrize("answer", ["as asked", "500, applied", "dropped, applied", "524, applied"])
def test_a_deleted_contact_is_resynced_also_where_the_answer_that_created_it_was_lost(answer: str) -> None:
    portal, resynced = portal_of_ours(), list[ContactKey]()
    # The calls are a creation, its entry, and the upsert.
    worker = Worker(portal, ("", "", answer), 1, resync=noting(resynced))

    async def work() -> None:
        worker._offsets.assigned({("lifecycle.nova_earned", 0): 0})
        async with worker._delivering(lambda: worker._offsets.unfinished):
            await worker._consumer.take(record(1, EMAIL, 1, 101))
            await worker._clock.sleep(60)
            contact = portal.contacts.by_email(EMAIL)
            assert contact is not None
            portal.contacts.delete(contact)
            await worker._consumer.take(record(2, EMAIL, 2, 102))
            await worker._clock.sleep(600)

    run_fast(work())
    assert resynced == [EMAIL]


@pytest.mark.parametrize("how", ["created again by a person", "only event 1 is read again"])
def test_a_deleted_contact_is_resynced_also_where(how: str) -> None:
    portal, resynced = portal_of_ours(), list[ContactKey]()
    run_fast(Worker(portal, (), 1).read([record(n, EMAIL, n, 100 + n) for n in (1, 2, 3)]))
    contact = portal.contacts.by_email(EMAIL)
    assert contact is not None
    portal.contacts.delete(contact)
    if how == "created again by a person":
        portal.contacts.create({"email": EMAIL})
    worker = Worker(portal, (), 1, resync=noting(resynced))

    async def work() -> None:
        worker._offsets.assigned({("lifecycle.nova_earned", 0): 0})
        async with worker._delivering(lambda: worker._offsets.unfinished):
            worker._all_read = True
            if how == "only event 1 is read again":
                await worker._consumer.take(record(1, EMAIL, 1, 101))
                await worker._clock.sleep(60)
            await worker._consumer.take(record(4, EMAIL, 4, 104))
            await worker._clock.sleep(600)

    run_fast(work())
    assert resynced == [EMAIL]


def noting(resynced: list[ContactKey]) -> Resync:
    async def note(keys: Collection[ContactKey]) -> Collection[ContactKey]:
        resynced.extend(keys)
        return ()

    return note


ADA = ContactKey(EMAIL)


def stored(number: int, event_type: str, **payload: object) -> Stored:
    made = envelope(event_type, number, EMAIL, id=str(UUID(int=number)), payload=PAYLOADS[event_type] | payload)
    text = json.dumps(made).encode()
    return Stored(EMAIL, number, f"lifecycle.{event_type}", 0, number, 1_000 * number, text)


# HubSpot has no pass of Google's, so it refuses that event, and with it the resync.
@pytest.mark.parametrize("pass_type", ["apple", "google"])
def test_an_event_below_a_raised_sequence_takes_effect_or_is_a_dead_letter(pass_type: str) -> None:
    portal = portal_of_ours()
    events = [
        stored(1, "nova_earned", new_balance_cents=1),
        stored(2, "wallet_pass_installed", pass_type=pass_type),
        stored(3, "nova_earned", new_balance_cents=3),
    ]
    run_fast(Worker(portal, (), 1).read([read(events[0])]))
    contact = portal.contacts.by_email(EMAIL)
    assert contact is not None
    portal.contacts.update(contact, {SEQUENCE: "999"})

    async def resync(_keys: Collection[ContactKey]) -> Collection[ContactKey]:
        worker._lanes.hold([ADA])
        with tempfile.TemporaryDirectory() as folder:
            report = await replayed(portal, Path(folder), events, selection=Selection(dead_letters=False))
        if report.contacts_written:
            worker._lanes.written(ADA, 3, None)
        worker._lanes.release(ADA)
        worker._delivery.notify()
        return () if report.contacts_written else [ADA]

    worker = Worker(portal, (), 1, resync=resync)
    receipts = run_fast(worker.read([read(each) for each in events[1:]]))

    refused = [(2, "dead_lettered")] if pass_type == "google" else [(2, "delivered")]
    assert [(each.sequence, each.outcome) for each in receipts] == [*refused, (3, "delivered")]
    contact = portal.contacts.by_email(EMAIL)
    assert contact is not None
    assert (contact.properties["nerava_nova_balance_cents"], contact.properties[SEQUENCE]) == ("3", "3")
    assert contact.properties.get("nerava_wallet_pass_type") == (None if pass_type == "google" else "apple")
