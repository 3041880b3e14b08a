"""Rows of the old worker's: what it was easy about is put right; what tells of no event is refused with a reason."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.old_outbox.rows import ALIASES, Happened, OldRow, Unimportable, read_row
from schemas.events import EVENTS
from tests.samples import PAYLOADS

CREATED = datetime(2026, 10, 1, 12, tzinfo=UTC)


def row(event_type: str | None, payload: Any, created: datetime | None = CREATED) -> OldRow:
    return OldRow(7, "7", event_type, payload if isinstance(payload, str) else json.dumps(payload), created)


def earned(**changes: Any) -> dict[str, Any]:
    return PAYLOADS["nova_earned"] | changes


def field(happened: Happened, name: str) -> Any:
    return getattr(happened.event, name)


@pytest.mark.parametrize("event_type", EVENTS)
def test_a_row_of_each_event_is_read_and_happened_at_the_events_own_time(event_type: str) -> None:
    read = read_row(row(event_type, PAYLOADS[event_type]))

    assert type(read.event) is EVENTS[event_type]
    assert (read.type, read.at) == (event_type, datetime(2026, 11, 24, 3, 0, 0, 123456, UTC))


@pytest.mark.parametrize(
    ("alias", "event_type"),
    [
        ("user_signup", "driver_signed_up"),
        ("redemption", "nova_redeemed"),
        ("wallet_pass_install", "wallet_pass_installed"),
    ],
)
def test_an_alias_is_the_event_that_it_stands_for(alias: str, event_type: str) -> None:
    assert read_row(row(alias, PAYLOADS[event_type])).type == event_type


@pytest.mark.parametrize(
    ("payload", "name", "value"),
    [
        (earned(user_id=42), "user_id", "42"),
        (earned(amount_cents=500.0), "amount_cents", 500),
        (earned(earned_at="2026-11-24T03:00:00"), "earned_at", datetime(2026, 11, 24, 3, tzinfo=UTC)),
        (earned(earned_at="2026-11-24 03:00:00+01:00"), "earned_at", datetime(2026, 11, 24, 2, tzinfo=UTC)),
        (earned(earned_at=None), "earned_at", CREATED),
        ({name: value for name, value in earned().items() if name != "earned_at"}, "earned_at", CREATED),
        (earned(colour="blue", type="reward"), "user_id", "usr_1"),
        (json.dumps(json.dumps(earned())), "user_id", "usr_1"),
    ],
    ids=str,
)
def test_what_the_old_worker_was_easy_about_is_put_right(payload: Any, name: str, value: Any) -> None:
    assert field(read_row(row("nova_earned", payload)), name) == value


def test_a_row_without_a_zone_was_made_in_utc() -> None:
    naive = CREATED.replace(tzinfo=None)

    assert read_row(row("nova_earned", earned(earned_at=None), naive)).at == CREATED


@pytest.mark.parametrize("user_id", [42, "42", "nova_user_42"])
def test_a_prefix_stands_in_front_of_the_user_id_once(user_id: Any) -> None:
    read = read_row(row("nova_earned", earned(user_id=user_id)), user_id_prefix="nova_user_")

    assert field(read, "user_id") == "nova_user_42"


@pytest.mark.parametrize(
    ("event_type", "payload", "reason"),
    [
        ("coffee_drunk", {}, "coffee_drunk: no such event"),
        (None, {}, "no type: no such event"),
        ("nova_earned", "{", "nova_earned: the payload is not a JSON object"),
        ("nova_earned", "[" * 100_000, "nova_earned: the payload is not a JSON object"),
        ("nova_earned", [], "nova_earned: the payload is not a JSON object"),
        ("nova_earned", None, "nova_earned: the payload is not a JSON object"),
        ("nova_earned", earned(amount_cents="secret"), "nova_earned.amount_cents: Input should be a valid integer"),
        ("nova_earned", earned(amount_cents=None), "nova_earned.amount_cents: Input should be a valid integer"),
        ("user_signup", PAYLOADS["driver_signed_up"] | {"email": ""}, "driver_signed_up.email: "),
        ("user_signup", {"user_id": 1, "auth_provider": "phone"}, "driver_signed_up.email: Field required"),
        ("nova_earned", earned(earned_at="secret"), "nova_earned.earned_at: "),
    ],
    ids=str,
)
def test_what_tells_of_no_event_has_a_reason_that_quotes_nothing(
    event_type: str | None, payload: Any, reason: str
) -> None:
    with pytest.raises(Unimportable) as refused:
        read_row(row(event_type, payload))

    assert str(refused.value).startswith(reason)
    assert "secret" not in str(refused.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from([*EVENTS, *ALIASES]), st.data())
def test_whatever_is_in_a_row_is_an_event_or_unimportable(event_type: str, data: st.DataObject) -> None:
    sample = PAYLOADS[ALIASES.get(event_type, event_type)]
    payload = sample | data.draw(st.dictionaries(st.sampled_from(sorted(sample)), JSON))
    created = data.draw(st.none() | st.datetimes() | st.datetimes(timezones=st.just(UTC)))
    try:
        read = read_row(row(event_type, payload, created))
    except Unimportable:
        return
    assert read.at.utcoffset() is not None
