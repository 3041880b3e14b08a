"""The history of a contact: each event with what became of it, what waits and behind what, and what is missing."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from console.contacts.extract import Extract
from console.contacts.history import LATEST, Historian, History
from console.contacts.index import Index, Reached
from console.contacts.index_rows import rows_of
from console.contacts.outbox import OutboxContact, Unpublished
from console.contacts.traced import Hole, TracedEvent
from hubspot_consumer.dead_letters.corrections import Correction
from hubspot_consumer.dead_letters.resolutions import Discarded, Redriven
from hubspot_consumer.kafka.records import Partition
from schemas.contacts import ContactKey
from tests.kafka.kafka_records import (
    BEGAN,
    TOPICS,
    KafkaRecord,
    event_record,
    letter_record,
    receipt_record,
    resolution_record,
)
from tests.samples import EMAIL, PAYLOADS, envelope, value

KEY = ContactKey(EMAIL)
EARNED = (TOPICS.of("nova_earned"), 0)


class Contact:
    """What the index holds of one contact."""

    def __init__(self, folder: Path) -> None:
        self.index = Index(folder)
        self.index.open()
        self.acked: dict[Partition, int] | None = {}

    def holds(self, *records: KafkaRecord) -> None:
        last = {(each.topic, each.partition): each for each in records}
        reached = {partition: Reached(0, each.offset + 1, each.timestamp) for partition, each in last.items()}
        self.index.add(rows_of(records, TOPICS), reached)

    def history(self, before: int = LATEST, **outbox: Any) -> History:
        with Extract.of(self.index, TOPICS) as extract:
            return Historian(extract, self.acked).history(KEY, before, **outbox)


@pytest.fixture
def contact(tmp_path: Path) -> Iterator[Contact]:
    contact = Contact(tmp_path)
    yield contact
    contact.index.close()


def unpublished(sequence: int) -> Unpublished:
    made = value(envelope(sequence=sequence))
    return Unpublished(f"id-{sequence}", "nova_earned", sequence, BEGAN, made, KEY)


def committed(at: datetime) -> str:
    """Return an id of version 7 with that time in it."""
    return str(UUID(int=(round(at.timestamp() * 1000) << 80) | (7 << 76) | (2 << 62)))


def only(history: History) -> TracedEvent:
    [event] = history.items
    assert isinstance(event, TracedEvent)
    return event


def told(history: History) -> list[tuple[int | None, str, str | None]]:
    return [(each.sequence, each.state, each.behind) for each in history.items if isinstance(each, TracedEvent)]


def holes(history: History) -> list[tuple[int, int, bool]]:
    return [(each.first, each.last, each.before_all) for each in history.items if isinstance(each, Hole)]


def test_events_of_all_topics_are_in_the_order_of_their_sequence(contact: Contact) -> None:
    contact.holds(
        event_record("nova_redeemed", sequence=2),
        event_record("driver_signed_up", sequence=1),
        event_record("nova_earned", sequence=3),
    )

    found = contact.history().items

    assert [each.type for each in found if isinstance(each, TracedEvent)] == [
        "driver_signed_up",
        "nova_redeemed",
        "nova_earned",
    ]


def test_a_delivered_event_tells_when_how_and_what_it_changed(contact: Contact) -> None:
    record = event_record()
    names = ("nerava_event_sequence", "nerava_nova_balance_cents")
    contact.holds(record, receipt_record(record, contact_id="77", properties=names, attempts=3))

    event = only(contact.history())

    assert (event.state, event.attempts, event.contact_id) == ("delivered", 3, "77")
    assert event.published_at == BEGAN + timedelta(seconds=1)
    assert event.ended_at == BEGAN + timedelta(minutes=1)
    assert event.changed == {"nerava_event_sequence": "1", "nerava_nova_balance_cents": "500"}
    assert event.why is None
    assert event.amount_cents == 500


@pytest.mark.parametrize(
    ("event_type", "cents"),
    [("nova_earned", 500), ("nova_redeemed", -100), ("first_redemption_completed", 100), ("driver_signed_up", None)],
)
def test_the_amount_of_an_event_is_negative_if_it_is_spent(contact: Contact, event_type: str, cents: int) -> None:
    contact.holds(event_record(event_type))

    assert only(contact.history()).amount_cents == cents


def test_the_latency_of_an_event_is_the_time_from_its_commit_to_its_delivery(contact: Contact) -> None:
    record = event_record(made=envelope(id=committed(BEGAN)))
    contact.holds(record)
    assert only(contact.history()).latency is None

    contact.holds(receipt_record(record, minutes=3))

    assert only(contact.history()).latency == timedelta(minutes=3)


def test_the_latency_of_an_event_is_none_if_it_was_set_aside_and_zero_if_clocks_differ(contact: Contact) -> None:
    late, dead = envelope(id=committed(BEGAN + timedelta(hours=1))), envelope(sequence=2, id=committed(BEGAN))
    first, second = event_record(made=late), event_record(sequence=2, offset=1, made=dead)
    contact.holds(first, receipt_record(first), second, letter_record(second))

    assert [each.latency for each in contact.history().events] == [timedelta(), None]


def test_an_event_says_when_it_was_committed_by_the_time_in_its_id(contact: Contact) -> None:
    made = {**envelope(), "id": "019ab3f0-8a40-7c11-9d2e-5b6c7d8e9f01"}
    contact.holds(event_record(made=made))

    committed_at = only(contact.history()).committed_at

    assert committed_at is not None
    assert committed_at.isoformat() == "2025-11-24T03:37:57.056000+00:00"


def test_of_many_receipts_the_newest_counts_and_their_number_is_told(contact: Contact) -> None:
    record = event_record()
    first, second = receipt_record(record, "suppressed"), receipt_record(record, "delivered", offset=1, minutes=9)
    contact.holds(record, first, second)

    event = only(contact.history())

    assert (event.state, len(event.receipts)) == ("delivered", 2)
    assert event.ended_at == BEGAN + timedelta(minutes=9)


def test_an_event_without_a_receipt_waits_until_the_group_has_acked_it(contact: Contact) -> None:
    contact.holds(event_record(offset=4))
    assert only(contact.history()).state == "waiting"

    contact.acked = {EARNED: 4}
    assert only(contact.history()).state == "waiting"

    contact.acked = {EARNED: 5}
    assert only(contact.history()).state == "acked"


def test_while_nobody_can_say_what_was_acked_no_event_on_kafka_is_said_to_wait_or_to_be_waited_behind(
    contact: Contact,
) -> None:
    one = event_record(sequence=1)
    contact.holds(one, event_record(sequence=2, offset=1), event_record(sequence=3, offset=2), receipt_record(one))
    contact.acked = None

    history = contact.history(known=OutboxContact("usr_1", 4), unpublished=[unpublished(4)])

    assert told(history) == [(1, "delivered", None), (2, "unknown", None), (3, "unknown", None), (4, "outbox", None)]


def test_what_waits_says_what_it_waits_behind(contact: Contact) -> None:
    one = event_record(sequence=1)
    contact.holds(
        one,
        event_record(sequence=2, offset=1),
        event_record(sequence=3, offset=2),
        receipt_record(one),
    )

    history = contact.history(known=OutboxContact("usr_1", 4), unpublished=[unpublished(4)])

    assert told(history) == [
        (1, "delivered", None),
        (2, "waiting", None),
        (3, "waiting", "2, which is waiting too"),
        (4, "outbox", "2, which is waiting too"),
    ]


def test_what_waits_behind_a_hole_says_so(contact: Contact) -> None:
    one = event_record(sequence=1)
    contact.holds(one, receipt_record(one), event_record(sequence=4, offset=3))

    history = contact.history()

    assert holes(history) == [(2, 3, False)]
    assert told(history)[-1] == (4, "waiting", "2, which is missing")


def test_nothing_waits_behind_a_hole_that_a_worker_has_gone_past(contact: Contact) -> None:
    three = event_record(sequence=3, offset=1)
    contact.holds(event_record(sequence=1), three, receipt_record(three), event_record(sequence=4, offset=2))
    contact.acked = {EARNED: 2}

    assert told(contact.history())[-1] == (4, "waiting", None)


def test_what_came_before_all_that_kafka_holds_is_no_hole_to_wait_behind(contact: Contact) -> None:
    contact.holds(event_record(sequence=8))

    history = contact.history()

    assert holes(history) == [(1, 7, True)]
    assert told(history) == [(8, "waiting", None)]


def test_what_the_outbox_has_given_and_nobody_holds_is_a_hole_at_the_end(contact: Contact) -> None:
    contact.holds(event_record(sequence=1))

    assert holes(contact.history(known=OutboxContact("usr_1", 3))) == [(2, 3, False)]


def test_an_event_that_is_published_and_still_in_the_outbox_is_there_once(contact: Contact) -> None:
    contact.holds(event_record(sequence=1))

    assert told(contact.history(known=OutboxContact(None, 1), unpublished=[unpublished(1)])) == [(1, "waiting", None)]


def test_an_event_that_was_published_twice_is_there_once(contact: Contact) -> None:
    contact.holds(event_record(sequence=1), event_record(sequence=1, offset=1))
    contact.acked = {EARNED: 1}

    event = only(contact.history())

    assert (event.copies, event.state) == (2, "waiting")


def test_a_dead_letter_tells_its_reason_its_detail_and_its_attempts(contact: Contact) -> None:
    record = event_record()
    contact.holds(
        record, letter_record(record, "rejected", "400: no such option"), receipt_record(record, "dead_lettered")
    )

    event = only(contact.history())

    assert (event.state, event.why, event.attempts) == ("dead_letter", ("rejected", "400: no such option"), 2)
    assert event.ended_at == BEGAN + timedelta(minutes=1)


@pytest.mark.parametrize(
    ("resolution", "state"),
    [(Redriven(at=BEGAN, run="r1"), "redriven"), (Discarded(at=BEGAN, note="a duplicate"), "discarded")],
)
def test_a_dead_letter_that_was_settled_says_how(contact: Contact, resolution: Any, state: str) -> None:
    record = event_record()
    letter = letter_record(record)
    contact.holds(record, letter, receipt_record(record, "dead_lettered"), resolution_record(letter, resolution))

    event = only(contact.history())

    assert (event.state, event.ended_at) == (state, BEGAN)


def test_a_mended_event_tells_what_it_changes_as_it_is_read_now(contact: Contact) -> None:
    payload = {name: each for name, each in PAYLOADS["nova_earned"].items() if name != "earned_at"}
    record = event_record(made=envelope(payload=payload))
    letter = letter_record(record, "invalid_envelope")
    contact.holds(record, letter)
    assert only(contact.history()).changed == {}

    mend = Correction(values={"earned_at": "2026-11-24T03:00:00Z"}, note="so")
    contact.holds(resolution_record(letter, Redriven(at=BEGAN, mend=mend)))

    assert only(contact.history()).changed["nerava_nova_balance_cents"] == "500"


def test_a_dead_letter_whose_event_was_delivered_later_is_delivered(contact: Contact) -> None:
    record = event_record()
    contact.holds(record, letter_record(record), receipt_record(record, "delivered", minutes=5))
    assert only(contact.history()).state == "delivered"


def test_an_event_that_was_delivered_and_set_aside_later_is_a_dead_letter(contact: Contact) -> None:
    record = event_record()
    contact.holds(record, receipt_record(record, "delivered"), letter_record(record, minutes=5))
    assert only(contact.history()).state == "dead_letter"


def test_a_dead_letter_that_never_was_a_record_is_no_hole(contact: Contact) -> None:
    one, two = event_record(sequence=1), event_record(sequence=2)
    letter = letter_record(two._replace(partition=-1, offset=-1), "unknown_event_type")
    contact.holds(one, letter)

    assert told(contact.history()) == [(1, "waiting", None), (2, "dead_letter", None)]


def test_a_letter_of_another_event_of_the_contact_is_not_shown_at_this_one(contact: Contact) -> None:
    one, two = event_record(sequence=1), event_record(sequence=2, offset=1)
    contact.holds(one, two, letter_record(two))
    assert [state for _, state, _ in told(contact.history())] == ["waiting", "dead_letter"]


def test_an_event_whose_record_kafka_has_deleted_is_told_by_its_receipt(contact: Contact) -> None:
    record = event_record(sequence=1)
    contact.holds(receipt_record(record, properties=("firstname",)))

    event = only(contact.history())

    assert (event.type, event.state, event.id) == ("nova_earned", "delivered", "00000000-0000-0000-0000-000000000001")
    assert event.changed == {"firstname": ""}


def test_an_event_of_which_only_its_dead_letter_is_left_is_told_by_that(contact: Contact) -> None:
    record = event_record(sequence=1)
    contact.holds(letter_record(record, "rejected_by_hubspot"))

    event = only(contact.history())

    assert (event.type, event.state, event.sequence) == ("nova_earned", "dead_letter", 1)


def test_a_record_without_a_sequence_stands_by_itself(contact: Contact) -> None:
    bad = KafkaRecord(*EARNED, 0, 5, EMAIL.encode(), b"{}")
    contact.holds(
        bad, letter_record(bad, "invalid_envelope", "id: Field required"), receipt_record(bad, "dead_lettered")
    )

    [event] = contact.history().unnumbered

    assert (event.sequence, event.state, event.why) == (None, "dead_letter", ("invalid_envelope", "id: Field required"))


def test_a_long_history_comes_in_parts_that_miss_nothing_and_repeat_nothing(contact: Contact) -> None:
    records = [event_record(sequence=number, offset=number) for number in range(1, 131) if number not in (51, 80)]
    contact.holds(*records)
    parts, before = [], LATEST

    while True:
        part = contact.history(before)
        parts.append(part)
        if part.before is None:
            break
        before = part.before

    assert [len(told(part)) for part in parts] == [50, 50, 28]
    assert [part.newest for part in parts] == [True, False, False]
    numbers = [number for part in reversed(parts) for number, _, _ in told(part)]
    assert numbers == [record_sequence for record_sequence in range(1, 131) if record_sequence not in (51, 80)]
    assert sorted(hole for part in parts for hole in holes(part)) == [(51, 51, False), (80, 80, False)]


def test_a_bound_beyond_the_last_event_is_the_newest_page(contact: Contact) -> None:
    contact.holds(*[event_record(sequence=number, offset=number) for number in (1, 2, 3)])

    assert contact.history(4).newest
    assert not contact.history(3).newest
    assert not contact.history(4, known=OutboxContact("usr_1", 4)).newest


def test_nothing_known_is_an_empty_history(contact: Contact) -> None:
    history = contact.history()
    assert (list(history.items), list(history.unnumbered), history.before) == ([], [], None)
