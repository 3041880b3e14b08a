"""Reading records: an envelope, or the reason why it is none."""

import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hubspot_consumer.mapping import MappingFailed, contact_properties, map_event, timeline_properties
from schemas.envelope import _ENVELOPES, Headers, UnreadableRecord, _AnyEnvelope, read_envelope
from schemas.events import EVENTS
from schemas.times import AS_WRITTEN
from tests.samples import EMAIL, PAYLOADS, TELLABLE, TIME_OF, UNTELLABLE, envelope

NAMES = st.sampled_from(sorted(envelope()))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def unreadable(value: Any, key: bytes | None = EMAIL.encode()) -> UnreadableRecord:
    with pytest.raises(UnreadableRecord) as caught:
        read_envelope(key, value if isinstance(value, bytes) else json.dumps(value).encode())
    return caught.value


# TELLABLE as HubSpot reads times: in UTC, with milliseconds.
TELLABLE_IN_UTC = (
    "0001-01-01T00:00:00.000Z",
    "0001-01-01T00:00:00.000Z",
    "9999-12-31T23:59:59.999Z",
    "9999-12-31T23:59:00.000Z",
)


@pytest.mark.parametrize("event_type", EVENTS)
def test_an_envelope_of_each_event_is_read(event_type: str) -> None:
    read = read_envelope(EMAIL.encode(), json.dumps(envelope(event_type)).encode())

    assert read.type == event_type
    assert type(read.payload) is EVENTS[event_type]


def test_a_reader_ignores_what_a_newer_writer_added() -> None:
    newer = envelope(mood="sunny")
    newer["payload"] = newer["payload"] | {"tip_cents": 5}

    assert read_envelope(EMAIL.encode(), json.dumps(newer).encode()).sequence == 1


@pytest.mark.parametrize("event_type", EVENTS)
@pytest.mark.parametrize("time", UNTELLABLE)
def test_a_record_of_before_there_was_a_bound_is_read_with_any_time(event_type: str, time: str) -> None:
    payload = PAYLOADS[event_type] | {TIME_OF[event_type]: time}

    read = read_envelope(EMAIL.encode(), json.dumps(envelope(event_type, payload=payload, occurred_at=time)).encode())

    assert read.occurred_at.isoformat() == time
    if event_type.startswith("merchant"):
        # No property of theirs is made of it.
        assert map_event(read).entry[TIME_OF[event_type]] == time
    else:
        with pytest.raises(MappingFailed, match=rf"^{event_type}: OverflowError \(mapping\.py, line "):
            map_event(read)


@pytest.mark.parametrize("event_type", EVENTS)
@pytest.mark.parametrize(("time", "in_utc"), list(zip(TELLABLE, TELLABLE_IN_UTC, strict=True)))
def test_a_record_of_the_first_or_the_last_year_is_read_and_mapped(event_type: str, time: str, in_utc: str) -> None:
    payload = PAYLOADS[event_type] | {TIME_OF[event_type]: time}

    read = read_envelope(EMAIL.encode(), json.dumps(envelope(event_type, payload=payload, occurred_at=time)).encode())

    assert contact_properties(read)
    assert timeline_properties(read)[TIME_OF[event_type]] == in_utc


@pytest.mark.parametrize(
    ("value", "reason", "detail"),
    [
        (envelope(type="coffee_drunk"), "unknown_event_type", "no such event type"),
        (envelope(schema_version=2), "unsupported_schema_version", "schema_version"),
        (envelope(sequence=0), "invalid_envelope", "sequence"),
        (envelope() | {"sequence": "1"}, "invalid_envelope", "sequence"),
        (envelope(email="grace@example.com"), "key_mismatch", "contact.email"),
        (envelope(email="grace"), "invalid_envelope", "contact.email"),
        (envelope(payload={"user_id": "usr_1"}), "invalid_envelope", "payload.amount_cents"),
        (envelope(payload=[]), "invalid_envelope", "payload"),
        ([], "invalid_envelope", ""),
        (None, "invalid_envelope", ""),
        (b'{"id": "0199', "invalid_envelope", "value"),
        (b"\xff", "invalid_envelope", "value"),
        (b"", "invalid_envelope", "value"),
        (b"[" * 100_000, "invalid_envelope", "value"),
    ],
    ids=str,
)
def test_what_is_no_envelope_has_a_reason_and_a_place(value: Any, reason: str, detail: str) -> None:
    error = unreadable(value)

    assert error.reason == reason
    assert detail in error.detail


@pytest.mark.parametrize("key", [None, b""])
def test_a_record_without_a_key_says_so(key: bytes | None) -> None:
    assert unreadable(envelope(), key).reason == "missing_key"


@given(st.none() | st.binary(), st.none() | st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_bytes_raise_anything_else(key: bytes | None, value: bytes | None) -> None:
    with pytest.raises(UnreadableRecord):
        read_envelope(key, value)


# JSON that Python takes for equal to another value, for a number, or for a time.
ALIKE = (
    "1",
    "1.0",
    "true",
    '"1"',
    "1e0",
    "null",
    '"1970-01-01T00:00:01Z"',
    "1970",
    "[]",
    "{}",
    '" x"',
    '"nova_earned"',
)


@given(st.sampled_from(sorted(EVENTS)), st.data())
def test_a_record_means_the_same_to_the_model_of_its_type_as_to_that_of_all_types(event_type: str, data: Any) -> None:
    made = deepcopy(envelope(event_type))
    place = data.draw(st.sampled_from([made, made["payload"], made["contact"], made["totals"]]))
    for name in data.draw(st.lists(st.sampled_from([*sorted(place), "type"]), max_size=2)):
        place[name] = data.draw(st.sampled_from(ALIKE).map(json.loads) | JSON)
    # A name may be in an object twice.
    twice = "".join(
        f', "{name}": {data.draw(st.sampled_from(ALIKE))}' for name in data.draw(st.sets(NAMES, max_size=1))
    )
    text = f"{json.dumps(made)[:-1]}{twice}}}"
    try:
        read = _ENVELOPES.validate_json(text, extra="ignore", context=AS_WRITTEN)
    except ValidationError:
        return

    assert vars(read) == vars(_AnyEnvelope.model_validate_json(text, extra="ignore", context=AS_WRITTEN))


@given(st.dictionaries(NAMES, JSON))
def test_an_envelope_with_anything_in_its_fields_is_read_or_unreadable_and_quotes_nothing(changes: Any) -> None:
    broken = envelope() | changes | {"contact": {"email": "secret.person@example.com"}}

    # Its key is another contact's, so it is unreadable one way or the other.
    assert "secret.person" not in unreadable(broken).detail


HEADER_TEXT = st.text(st.characters(codec="utf-8"))


@given(HEADER_TEXT, HEADER_TEXT, st.none() | st.integers(0, 2**63 - 1), st.none() | HEADER_TEXT.filter(bool))
def test_headers_come_back_as_they_were_written(
    event_id: str, event_type: str, sequence: int | None, trace: str | None
) -> None:
    headers = Headers(event_id, event_type, sequence, trace)

    assert Headers.decode(headers.encode()) == headers


def test_a_header_of_thousands_of_digits_is_no_sequence() -> None:
    assert Headers.decode([("sequence", b"9" * 5000)]).sequence is None


@given(st.lists(st.tuples(st.sampled_from(["id", "type", "sequence", "traceparent", "x"]), st.none() | st.binary())))
def test_no_headers_are_unreadable(headers: list[tuple[str, bytes | None]]) -> None:
    Headers.decode(headers)
