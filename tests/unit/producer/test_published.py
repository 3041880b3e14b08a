"""What `recover` takes from the records of the topics, whatever they are."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.recovery.published import Contact, Published, Waiting
from schemas.contacts import ContactKey
from schemas.envelope import LARGEST, Headers
from tests.kafka.kafka_records import KafkaRecord, event_record
from tests.samples import EMAIL, envelope

ADA = ContactKey(EMAIL)


def published_of(*records: Any, waiting: dict[str, Waiting] | None = None) -> Published:
    published = Published(waiting or {})
    for record in records:
        published.add(record)
    return published


def with_totals(sequence: int, **totals: Any) -> KafkaRecord:
    return event_record(sequence=sequence, made={**envelope("nova_earned", sequence), "totals": totals})


def record(key: bytes | None, value: bytes | None, *headers: tuple[str, bytes | None]) -> KafkaRecord:
    return KafkaRecord("lifecycle.nova_earned", 0, 0, 0, key, value, headers)


def test_the_newest_event_of_a_contact_counts_in_whatever_order_the_topics_have_them() -> None:
    events = [with_totals(2, nova_earned_cents=20), with_totals(3, nova_earned_cents=30), with_totals(1)]

    assert published_of(*events).contacts == {ADA: Contact(3, {"nova_earned_cents": 30})}


def test_a_parked_event_that_kafka_has_was_published() -> None:
    ids = [str(envelope("nova_earned", sequence)["id"]) for sequence in (1, 2)]
    found = Published({}, parked=ids)

    found.add(event_record(sequence=1))

    assert found.parked_too == {ids[0]}


def test_of_two_events_with_one_sequence_each_total_is_the_higher_one() -> None:
    events = [with_totals(2, nova_earned_cents=20, nova_redeemed_cents=1), with_totals(2, nova_redeemed_cents=3)]

    assert published_of(*events).contacts == {ADA: Contact(2, {"nova_earned_cents": 20, "nova_redeemed_cents": 3})}


def test_sums_that_are_no_totals_of_ours_are_left_out() -> None:
    event = with_totals(2, nova_earned_cents="many", nova_redeemed_cents=3, invented_cents=5)

    assert published_of(event).contacts == {ADA: Contact(2, {"nova_redeemed_cents": 3})}


def test_an_event_that_cannot_be_read_still_has_its_sequence_and_leaves_the_totals() -> None:
    unreadable = record(EMAIL.encode(), b"{", ("sequence", b"7"))

    assert published_of(with_totals(2, nova_earned_cents=20), unreadable).contacts == {
        ADA: Contact(7, {"nova_earned_cents": 20})
    }


@pytest.mark.parametrize(
    ("key", "value", "sequence"),
    [
        (None, b"{}", b"1"),
        (b"\xff@example.com", b"{}", b"1"),
        (b"a\x00@example.com", b"{}", b"1"),
        (b"a" * 5_000 + b"@example.com", b"{}", b"1"),
        (b"no email", b"{}", b"1"),
        (EMAIL.encode(), None, None),
        (EMAIL.encode(), b'{"sequence": 0}', b"0"),
        (EMAIL.encode(), b'{"sequence": true, "totals": []}', b"one"),
        (EMAIL.encode(), b"[" * 100_000, None),
        (EMAIL.encode(), b"{}", str(LARGEST).encode()),
    ],
)
def test_a_record_that_the_outbox_could_not_continue_from_is_left_out(
    key: bytes | None, value: bytes | None, sequence: bytes | None
) -> None:
    assert published_of(record(key, value, ("sequence", sequence))).contacts == {}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)
)


@given(st.binary(), st.binary() | st.dictionaries(st.text(), JSON).map(lambda made: str(made).encode()), st.binary())
def test_no_bytes_of_a_record_raise_an_error(key: bytes, value: bytes, header: bytes) -> None:
    published_of(record(key, value, ("id", header), ("sequence", header)), record(EMAIL.encode(), value))


@given(st.dictionaries(st.sampled_from(["sequence", "totals", "id"]), JSON | st.dictionaries(st.text(), JSON)))
def test_no_content_of_an_envelope_raises_an_error(content: dict[str, Any]) -> None:
    published_of(event_record(made={**envelope("nova_earned", 1), **content}))


def test_a_row_whose_event_kafka_has_is_no_longer_to_be_published() -> None:
    event = event_record(sequence=2)
    rows = {Headers.decode(event.headers).id: Waiting(EMAIL, 2), "a": Waiting(EMAIL, 2), "b": Waiting(EMAIL, 3)}

    assert list(published_of(event, waiting=rows).reusing) == ["a"]
