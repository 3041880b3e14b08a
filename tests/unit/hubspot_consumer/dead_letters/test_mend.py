"""The mend: what is read otherwise than it was written, and what may never be kept in one."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hubspot_consumer.dead_letters.corrections import (
    PERSONAL,
    Changes,
    Correction,
    NotCorrectable,
    changes_of,
    faults,
    mended,
    suggested_changes,
)
from hubspot_consumer.dead_letters.resolution_writer import _with_correction
from hubspot_consumer.dead_letters.resolutions import DeadAgain, Discarded, Mended, Redriven, Resolutions
from schemas.envelope import read_envelope
from schemas.events import EVENTS
from tests.kafka.dead_letters import AT, AT_MS, as_read, headers, letter, letters, resolution_as_read
from tests.samples import EMAIL, PAYLOADS, TIME_OF, UNTELLABLE, envelope, value

KEY = EMAIL.encode()
MEND = Correction(values={"earned_at": "2026-11-24T03:00:00Z"}, note="it occurred then")
MENDED = Mended(at=AT, mend=MEND, reason="invalid_envelope", detail="", attempts=2, failed_at=AT)
REDRIVEN = Redriven(at=AT, run="r1", mend=MEND)


def without(event_type: str, *fields: str, **others: Any) -> bytes:
    payload = {name: each for name, each in PAYLOADS[event_type].items() if name not in fields}
    return value(envelope(event_type, payload={**payload, **others}))


@pytest.mark.parametrize("event_type", EVENTS)
def test_a_missing_time_is_suggested_to_be_when_the_event_occurred(event_type: str) -> None:
    poisoned = without(event_type, TIME_OF[event_type])

    changes = suggested_changes(poisoned)

    assert faults(KEY, poisoned) == [f"payload.{TIME_OF[event_type]}: Field required"]
    assert changes == Changes(values={TIME_OF[event_type]: envelope()["occurred_at"]})
    assert faults(KEY, mended(poisoned, changes)) == []


@pytest.mark.parametrize("time", UNTELLABLE)
def test_a_time_that_no_utc_has_can_be_mended_and_neither_be_set_nor_suggested(time: str) -> None:
    poisoned = without("nova_earned", earned_at=time)

    assert faults(KEY, poisoned) == []
    assert suggested_changes(poisoned) == Changes(values={"earned_at": envelope()["occurred_at"]})
    assert suggested_changes(value(json.loads(poisoned) | {"occurred_at": time})) is None
    with pytest.raises(NotCorrectable, match="within the years 1 to 9999"):
        changes_of(without("nova_earned", "earned_at"), {"earned_at": time}, ())


def test_a_misspelled_field_is_suggested_to_be_the_one_that_is_missing() -> None:
    poisoned = without("nova_earned", "session_id", sesion_id="ses_9", other="kept")

    changes = suggested_changes(poisoned)

    assert changes == Changes(values={"session_id": "ses_9"}, unset=("sesion_id",))
    assert json.loads(mended(poisoned, changes))["payload"]["other"] == "kept"
    assert read_envelope(KEY, mended(poisoned, changes)).payload.session_id == "ses_9"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "unhelpful",
    [
        without("nova_earned", "amount_cents"),
        without("driver_signed_up", "email", emial="ada@example.com"),
        without("nova_earned", "session_id", sesion_id="ada@example.com"),
        value(envelope(payload={}, occurred_at="yesterday")),
        value(envelope()),
        value({**envelope(), "type": "coffee_drunk"}),
        value({**envelope(), "type": ["nova_earned"]}),
        value({**envelope(), "payload": None}),
        b"no JSON",
        b"[" * 100_000,
        b"",
    ],
)
def test_what_tells_nothing_gets_no_suggestion(unhelpful: bytes) -> None:
    assert suggested_changes(unhelpful) is None


def test_what_is_typed_becomes_of_its_fields_type() -> None:
    typed = {"amount_cents": "500", "session_id": "123", "earned_at": "2026-11-24T03:00:00+01:00"}

    assert changes_of(value(envelope()), typed, ("x",)) == Changes(
        values={"amount_cents": 500, "session_id": "123", "earned_at": "2026-11-24T03:00:00+01:00"}, unset=("x",)
    )


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"amount_cents": "x"}, "payload.amount_cents: Input should be a valid integer"),
        ({"amount_cents": "-1"}, "greater than or equal to 0"),
        ({"earned_at": "2026-11-24T03:00:00"}, "payload.earned_at: Input should have timezone info"),
        ({"earnd_at": "x"}, "it has no field earnd_at; there are user_id, amount_cents"),
        ({"type": "nova_redeemed"}, "it has no field type"),
        ({"session_id": "ses of ada@example.com"}, "an email can't be kept"),
    ],
)
def test_a_value_that_its_field_can_not_have_is_refused(said: dict[str, str], words: str) -> None:
    with pytest.raises(NotCorrectable) as raised:
        changes_of(value(envelope()), said, ())

    assert words in str(raised.value)


@pytest.mark.parametrize("name", ["email", "previous_email", "name", "phone"])
def test_what_names_a_person_can_be_left_out_and_never_be_set(name: str) -> None:
    whole = value(envelope("merchant_contact_updated"))
    with pytest.raises(NotCorrectable, match="names a person"):
        changes_of(whole, {name: "+1 555 0100"}, ())
    with pytest.raises(ValidationError):
        Changes(values={name: "Ada"})

    assert name not in json.loads(mended(whole, changes_of(whole, {}, (name,))))["payload"]


def test_of_every_field_it_is_decided_whether_it_names_a_person() -> None:
    decided = {"user_id", "merchant_id", "session_id", "redemption_id", "auth_provider", "pass_type", "business_name"}
    decided |= {"amount_cents", "new_balance_cents", *TIME_OF.values(), *PERSONAL, "type"}

    assert {name for model in EVENTS.values() for name in model.model_fields} == decided


NAMES = st.sampled_from(["earned_at", "user_id", "x", "amount_cents"])
TEXT = st.text(st.sampled_from('ab1é" \\\0\ud800'), max_size=5)
CHANGES = st.builds(
    lambda values, unset: (
        Changes(values=values, unset=tuple(unset - values.keys())) if values or unset else Changes(unset=("x",))
    ),
    st.dictionaries(NAMES, st.integers(-9, 9) | st.text(st.sampled_from("ab1é"), max_size=5), max_size=3),
    st.sets(NAMES, max_size=3),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.just("payload"), inner, max_size=4),
    max_leaves=12,
)


@given(changes=CHANGES, document=st.dictionaries(st.just("payload") | NAMES, JSON, max_size=4))
def test_a_mend_changes_its_fields_of_the_payload_and_nothing_else_however_often(
    changes: Changes, document: dict[str, Any]
) -> None:
    once = mended(value(document), changes)

    assert mended(once, changes) == once
    if not isinstance(document.get("payload"), dict):
        assert once == value(document)
        return
    after = json.loads(once)
    named = changes.values.keys() | set(changes.unset)
    assert {**after, "payload": None} == {**document, "payload": None}
    assert changes.values.items() <= after["payload"].items()
    assert not after["payload"].keys() & set(changes.unset)
    others = {name: each for name, each in document["payload"].items() if name not in named}
    assert {name: each for name, each in after["payload"].items() if name not in named} == others


@given(whatever=st.binary(max_size=40), changes=CHANGES)
def test_whatever_bytes_come_mending_them_raises_nothing(whatever: bytes, changes: Changes) -> None:
    assert suggested_changes(mended(whatever, changes)) is None


def known(*resolutions: Any) -> Resolutions:
    found = Resolutions()
    for offset, each in enumerate(resolutions):
        found.take_in(resolution_as_read("0-0", each, offset, AT_MS))
    return found


def test_a_mended_letter_is_open_and_tells_its_newest_refusal_and_why_it_was_mended() -> None:
    found = letter(known(DeadAgain(at=AT, reason="x", detail="", attempts=1), MENDED))

    assert (found.state, found.is_open, found.in_effect, found.mend) == ("mended", True, False, MEND)
    assert (found.reason, found.attempts, found.failed_at) == ("invalid_envelope", 2, AT)
    assert found.note == "it occurred then"


def test_a_mend_is_kept_by_what_is_said_of_the_letter_later_until_it_is_discarded() -> None:
    found = letter(known(MENDED))

    redriven = _with_correction(found, Redriven(at=AT, run="r1"))
    refused = _with_correction(found, DeadAgain(at=AT, reason="x", detail="", attempts=1))

    assert letter(known(MENDED, redriven)).mend == MEND
    assert letter(known(MENDED, redriven)).state == "redriven"
    assert letter(known(MENDED, refused)).mend == MEND
    assert letter(known(MENDED, Discarded(at=AT, note="so"))).mend is None
    assert _with_correction(found, Discarded(at=AT, note="so")) is None
    assert _with_correction(letter(), Redriven(at=AT)) is None


def test_set_aside_again_after_it_was_redriven_it_is_open_and_still_read_as_mended() -> None:
    twice = [as_read(0, headers=headers()), as_read(1, headers=headers(offset=43))]

    [found] = letters(twice, known(MENDED, REDRIVEN))

    assert (found.state, found.mend) == ("dead", MEND)


@pytest.mark.parametrize("values", [{"earned_at": "ada@example.com"}, {"email": "x"}, {"name": "Ada"}, {"x": [1]}, {}])
def test_a_resolution_whose_mend_names_somebody_or_changes_nothing_is_none(values: dict[str, Any]) -> None:
    forged = json.loads(MENDED.model_dump_json())
    forged["mend"]["values"] = values

    assert letter(known(json.dumps(forged).encode())).state == "dead"


def test_a_note_keeps_no_email() -> None:
    assert Correction(values={"x": 1}, note="asked ada@example.com").note == "asked a***@example.com"
