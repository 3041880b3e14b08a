"""The event models: what is refused at the producer's door."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from producer.tracking import InvalidEvent, track_event
from schemas.events import EVENTS
from tests.samples import PAYLOADS, TELLABLE, TIME_OF, UNTELLABLE

REQUIRED = [
    (event_type, field)
    for event_type, model in EVENTS.items()
    for field, info in model.model_fields.items()
    if info.is_required()
]


def faults(event_type: str, **changes: Any) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        EVENTS[event_type].model_validate(PAYLOADS[event_type] | changes)
    return [str(error["loc"][0]) for error in caught.value.errors()]


def test_there_are_seven_events_and_a_sample_of_each() -> None:
    assert len(EVENTS) == 7
    assert set(PAYLOADS) == set(EVENTS)


@pytest.mark.parametrize("event_type", EVENTS)
def test_a_payload_comes_back_as_it_went_in_without_its_type(event_type: str) -> None:
    event = EVENTS[event_type].model_validate(PAYLOADS[event_type])

    assert event.model_dump(mode="json", exclude_none=True) == PAYLOADS[event_type]


@pytest.mark.parametrize(("event_type", "field"), REQUIRED)
def test_a_missing_field_is_named(event_type: str, field: str) -> None:
    payload = {name: value for name, value in PAYLOADS[event_type].items() if name != field}

    with pytest.raises(ValidationError) as caught:
        EVENTS[event_type].model_validate(payload)

    assert [error["loc"] for error in caught.value.errors()] == [(field,)]


@pytest.mark.parametrize("amount", ["500", True, 5.5, 5.0, -1, 2**53, None, [5]], ids=repr)
def test_an_amount_is_a_whole_number_of_cents_and_nothing_that_looks_like_one(amount: object) -> None:
    assert faults("nova_earned", amount_cents=amount) == ["amount_cents"]


@pytest.mark.parametrize("text", ["", "  ", "a\0b", "x" * 256, 5, None], ids=repr)
def test_text_is_neither_empty_nor_too_long_nor_what_postgresql_refuses(text: object) -> None:
    assert faults("nova_earned", session_id=text) == ["session_id"]


@pytest.mark.parametrize("email", ["ada", "@example.com", "ada@", "ada b@example.com", "a" * 320 + "@x.y"], ids=len)
def test_an_email_names_a_contact(email: str) -> None:
    assert faults("driver_signed_up", email=email) == ["email"]


def test_a_time_has_a_time_zone() -> None:
    assert faults("nova_earned", earned_at="2026-11-24T03:00:00") == ["earned_at"]


@pytest.mark.parametrize("event_type", EVENTS)
@pytest.mark.parametrize("time", UNTELLABLE)
def test_a_time_that_no_utc_has_is_refused(event_type: str, time: str) -> None:
    field = TIME_OF[event_type]

    assert faults(event_type, **{field: time}) == [field]
    assert faults(event_type, **{field: datetime.fromisoformat(time)}) == [field]
    assert faults(event_type, **{field: datetime.max.replace(tzinfo=ZoneInfo("America/New_York"))}) == [field]


@pytest.mark.parametrize("event_type", EVENTS)
@pytest.mark.parametrize("time", TELLABLE)
def test_a_time_of_the_first_or_the_last_year_is_taken_as_it_is(event_type: str, time: str) -> None:
    payload = PAYLOADS[event_type] | {TIME_OF[event_type]: time}

    assert EVENTS[event_type].model_validate(payload).model_dump(mode="json", exclude_none=True) == payload


def test_an_unknown_field_is_refused() -> None:
    assert faults("nova_earned", amount=5) == ["amount"]


def test_what_is_refused_names_event_and_field_and_quotes_no_value() -> None:
    with pytest.raises(InvalidEvent) as caught:
        track_event(None, "driver_signed_up", PAYLOADS["driver_signed_up"] | {"email": "secret"})  # type: ignore[call-overload]

    assert str(caught.value).startswith("driver_signed_up.email: ")
    assert "secret" not in str(caught.value)
