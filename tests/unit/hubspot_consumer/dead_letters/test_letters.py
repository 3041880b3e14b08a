"""Dead letters as the book knows them: what their headers say, which are one event, what became of them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubspot_consumer.dead_letters.dead_letter import LetterFilter, read_set_aside
from hubspot_consumer.dead_letters.resolutions import DeadAgain, Discarded, Redriven, Resolution, Resolutions
from schemas.contacts import ContactKey
from schemas.texts import LONGEST_KEPT, LONGEST_NAME
from schemas.topics import Topics
from tests.kafka.dead_letters import AT, AT_MS, DEBEZIUMS, as_read, headers, letter, letters, resolution_as_read

LATER = AT + timedelta(hours=1)
DISCARDED = Discarded(at=LATER, note="a test of ours")
REDRIVEN = Redriven(at=LATER, run="r1")
REFUSED_AGAIN = DeadAgain(at=LATER, reason="timeline_entry_rejected", detail="404 of ada@example.com", attempts=2)


def resolutions(*records: Any) -> Resolutions:
    found = Resolutions()
    for record in records:
        found.take_in(record)
    return found


def test_a_dead_letter_tells_what_its_headers_tell() -> None:
    found = letter(offset=17, headers=headers(attempts=3))

    assert (found.id, found.event_id, found.event_type, found.sequence) == ("0-17", "7", "nova_earned", 12)
    assert (found.reason, found.detail) == ("rejected_by_hubspot", "400: ada@example.com is invalid")
    assert (found.attempts, found.failed_at, found.contact) == (3, AT, "ada@example.com")
    assert found.places == {("lifecycle.nova_earned", 3, 42)}
    assert (found.state, found.in_effect) == ("dead", False)


def test_debeziums_tells_a_reason_and_was_no_record() -> None:
    found = letter(headers=DEBEZIUMS, at_ms=AT_MS + 5)

    assert (found.event_id, found.event_type, found.reason) == ("8", "foo", "unknown_event_type")
    assert (found.places, found.attempts) == (frozenset(), 0)
    assert found.failed_at == AT + timedelta(milliseconds=5)


def test_what_the_relay_set_aside_was_no_record() -> None:
    assert letter(headers=headers(partition=-1, offset=-1)).places == frozenset()


def test_the_type_of_a_record_without_one_is_its_topics() -> None:
    [event] = letters([as_read(headers=headers("", event_type="nova_redeemed"))])
    [other] = letters([as_read(headers=headers("", topic="elsewhere.nova_redeemed"))])

    assert (event.event_type, other.event_type) == ("nova_redeemed", "")


def test_of_a_hand_made_letter_no_more_is_kept_than_of_others() -> None:
    long = "9" * 900_000
    found = letter(offset=3, headers=headers(long, event_type=long, reason=long, detail=long, topic=long))

    assert (found.event_id, found.id, found.newest.event) == ("", "0-3", (0, 3))
    assert (found.event_type, found.newest.topic) == ("", "")
    assert (len(found.reason), len(found.detail)) == (LONGEST_NAME, LONGEST_KEPT)


BYTES = st.none() | st.binary(max_size=20)
NAMES = st.sampled_from(
    ["id", "type", "sequence"]
    + [f"dead_letter.{name}" for name in ("reason", "detail", "topic", "partition", "offset", "attempts", "failed_at")]
)
WORDS = st.binary(max_size=20) | st.text(st.sampled_from("-0123456789TZ:+"), max_size=30).map(str.encode)
MOMENTS = st.datetimes(timezones=st.timezones()).map(lambda moment: moment.isoformat().encode())


@given(
    key=BYTES,
    value=BYTES,
    pairs=st.lists(st.tuples(NAMES, WORDS | MOMENTS | st.none()), max_size=12),
    at_ms=st.integers(-1, 2**63 - 1),
)
def test_whatever_bytes_come_make_a_dead_letter(key: bytes, value: bytes, pairs: Any, at_ms: int) -> None:
    [found] = letters([as_read(key=key, value=value, headers=pairs, at_ms=at_ms)])

    assert found.ids == ("0-0",)
    assert found.failed_at.tzinfo is UTC
    assert LetterFilter(contact=ContactKey("ada@example.com"), since=AT).takes(found) in (True, False)


def test_an_event_that_was_set_aside_twice_is_one_with_both_ids_and_the_newest_reason() -> None:
    again = headers(reason="invalid_envelope", topic="lifecycle.nova_earned", offset=43)
    [found] = letters([as_read(5, headers=headers()), as_read(9, headers=again, at_ms=AT_MS + 1)])

    assert (found.id, found.ids, found.reason) == ("0-5", ("0-5", "0-9"), "invalid_envelope")
    assert found.places == {("lifecycle.nova_earned", 3, 42), ("lifecycle.nova_earned", 3, 43)}


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ({"headers": headers("")}, {"headers": headers("")}, 1),
        ({"headers": headers("")}, {"headers": headers("", offset=43)}, 2),
        ({"headers": headers("", offset=-1)}, {"headers": headers("", offset=-1)}, 2),
        ({"headers": headers("7")}, {"headers": headers("8")}, 2),
        ({"headers": ()}, {"headers": ()}, 2),
        ({"headers": headers("7"), "key": b"a@example.com"}, {"headers": headers("7"), "key": b"b@example.com"}, 2),
    ],
    ids=["one place", "two places", "never a record", "two events", "no headers", "an id by hand"],
)
def test_one_event_is_known_by_its_id_or_by_the_record_that_it_was(one: Any, other: Any, together: int) -> None:
    assert len(letters([as_read(0, **one), as_read(1, **other)])) == together


def test_the_value_is_in_the_newest_record_that_has_one() -> None:
    [found] = letters([as_read(0, headers=headers()), as_read(1, headers=headers(), value=None)])

    assert (found.holder.id, found.newest.id) == ("0-0", "0-1")


@pytest.mark.parametrize(
    ("resolution", "state", "reason", "in_effect"),
    [
        (DISCARDED, "discarded", "rejected_by_hubspot", False),
        (REDRIVEN, "redriven", "rejected_by_hubspot", True),
        (REFUSED_AGAIN, "dead", "timeline_entry_rejected", True),
    ],
)
def test_a_resolution_says_what_became_of_it(
    resolution: Resolution, state: str, reason: str, *, in_effect: bool
) -> None:
    found = letter(resolutions(resolution_as_read("0-0", resolution, 0, AT_MS)))

    assert (found.state, found.reason, found.in_effect) == (state, reason, in_effect)
    assert found.note == ("a test of ours" if resolution is DISCARDED else "")


def test_refused_again_it_tells_the_new_reason_and_when() -> None:
    found = letter(resolutions(resolution_as_read("0-0", REFUSED_AGAIN, 0)))

    assert (found.detail, found.attempts, found.failed_at) == ("404 of a***@example.com", 2, LATER)


def test_set_aside_again_after_it_was_settled_it_is_open_again() -> None:
    twice = [as_read(0, headers=headers()), as_read(1, headers=headers(offset=43))]
    known = [resolution_as_read("0-0", REDRIVEN, 0, AT_MS)]

    assert letters(twice, resolutions(*known))[0].state == "dead"
    known.append(resolution_as_read("0-1", DISCARDED, 1, AT_MS))
    assert letters(twice, resolutions(*known))[0].state == "discarded"


def test_a_resolution_of_another_topics_dead_letter_with_the_same_id_is_none() -> None:
    known = resolutions(resolution_as_read("0-0", DISCARDED, 0, AT_MS - 1))

    assert letter(known).state == "dead"


@pytest.mark.parametrize("unknown", [None, b"", b"no JSON", b'{"state": "sold", "at": "2024-11-24T03:00:00Z"}'])
def test_what_nobody_can_read_leaves_the_dead_letter_open(unknown: bytes | None) -> None:
    known = resolutions(resolution_as_read("0-0", DISCARDED, 0), resolution_as_read("0-0", unknown, 1))

    assert letter(known).state == "dead"


def test_resolutions_hold_no_whole_email_for_ever() -> None:
    written = Discarded(at=AT, note="ada@example.com asked us to").model_dump_json()

    assert "a***@example.com asked us to" in written


@pytest.mark.parametrize(
    ("which", "taken"),
    [
        (LetterFilter(), True),
        (LetterFilter(reasons=frozenset({"too_large", "rejected_by_hubspot"})), True),
        (LetterFilter(reasons=frozenset({"too_large"})), False),
        (LetterFilter(event_types=frozenset({"nova_earned"})), True),
        (LetterFilter(event_types=frozenset({"nova_redeemed"})), False),
        (LetterFilter(contact=ContactKey("ada@example.com")), True),
        (LetterFilter(contact=ContactKey("grace@example.com")), False),
        (LetterFilter(states=frozenset({"discarded"})), False),
        (LetterFilter(since=AT), True),
        (LetterFilter(since=AT + timedelta(seconds=1)), False),
    ],
)
def test_a_filter_takes_what_fits_all_of_it(which: LetterFilter, *, taken: bool) -> None:
    assert which.takes(letter(key=b"Ada@Example.com ")) is taken


LOG = st.lists(
    st.tuples(st.sampled_from(["0-0", "0-1", "1-0"]), st.sampled_from([DISCARDED, REDRIVEN, REFUSED_AGAIN, None])),
    max_size=30,
)


@given(LOG, st.randoms())
def test_resolutions_mean_the_same_before_and_after_kafka_compacts_them(log: Any, chance: Any) -> None:
    records = [resolution_as_read(name, resolution, offset) for offset, (name, resolution) in enumerate(log)]
    newest = {record.key: record.offset for record in records}
    # Of each key Kafka keeps the newest, and what it has not come to yet.
    compacted = [each for each in records if each.offset == newest[each.key] or chance.random() < 0.5]

    whole, part = resolutions(*records), resolutions(*compacted)

    last = dict(log)
    for name in ("0-0", "0-1", "1-0"):
        found = whole.of(name, AT_MS)
        assert found == part.of(name, AT_MS)
        assert (found.resolution if found else None) == last.get(name)


def test_a_record_is_read_under_any_prefix() -> None:
    made = as_read(headers=headers("", topic="staging.nova_earned"))

    assert read_set_aside(made, Topics("staging.")).event_type == "nova_earned"


def test_the_time_it_failed_is_utc_whatever_the_header_says() -> None:
    naive = [*headers(), ("dead_letter.failed_at", b"2024-11-24T03:00:00")]
    elsewhere = [*headers(), ("dead_letter.failed_at", b"2024-11-24T05:00:00+02:00")]

    assert (
        letter(headers=naive).failed_at == letter(headers=elsewhere).failed_at == datetime(2024, 11, 24, 3, tzinfo=UTC)
    )
