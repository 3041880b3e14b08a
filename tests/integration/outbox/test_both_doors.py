"""`track_event` and the SQL function: what one takes of a field, the other takes too."""

import json
from typing import Any, get_args

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from producer.tracking import InvalidEvent, checked
from schemas.envelope import UnreadableRecord, read_envelope
from schemas.events import EVENTS
from schemas.texts import encodable
from tests.examples import examples
from tests.samples import PAYLOADS

TRACK = "SELECT track_lifecycle_event(%s, %s::jsonb)"
TEXTS = {
    (event_type, name)
    for event_type, model in EVENTS.items()
    for name, field in model.model_fields.items()
    if name != "type" and (field.annotation is str or str in get_args(field.annotation))
}
# Characters that each side's tables of Unicode know alike, and lengths around the bound.
LETTERS = st.characters(exclude_categories=("Cs", "Cn"), exclude_characters="\0", max_codepoint=0x1FAFF)
SHORT = st.text(st.one_of(st.sampled_from("aZ@. \t\u00a0\u200b\u202e\u2028é🦊"), LETTERS), max_size=8)
VALUES = st.one_of(
    SHORT,
    st.builds(lambda text, domain: f"{text}@{domain}", SHORT, SHORT),
    st.builds(lambda letter, length: letter * length + "@x.y", LETTERS, st.integers(249, 253)),
    st.builds(lambda letter, length: letter * length, LETTERS, st.integers(253, 258)),
    st.none(),
    st.integers(),
    st.lists(st.integers(), max_size=2),
)
AMOUNTS: st.SearchStrategy[object] = st.one_of(
    st.sampled_from([0, -1, 2**53 - 1, 2**53, 10**400, 0.5, "5", None, True, [5], {}]), st.integers(-(2**54), 2**54)
)


@pytest.fixture
def db(database_url: str) -> Any:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


def test_every_text_of_an_event_is_bounded_in_sql(db: psycopg.Connection[Any]) -> None:
    for event_type, name in sorted(TEXTS):
        payload = {**PAYLOADS[event_type], name: "a" * 244 + "@example.com"}
        with pytest.raises(psycopg.errors.InvalidParameterValue, match=rf"^{event_type}\.{name}: "):
            db.execute(TRACK, [event_type, json.dumps(payload)])
        with pytest.raises(InvalidEvent, match=rf"^{event_type}\.{name}: "):
            checked(event_type, payload)
    assert len(TEXTS) > 15


@settings(max_examples=examples(400), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(TEXTS)), VALUES)
@example(("driver_signed_up", "email"), "ada\u00ad@example.com")
@example(("driver_signed_up", "user_id"), "\u2003")
@example(("nova_earned", "user_id"), "a" * 256)
def test_sql_takes_a_text_that_python_takes_and_readers_refuse_what_sql_alone_takes(
    db: psycopg.Connection[Any], field: tuple[str, str], value: object
) -> None:
    event_type, name = field
    _compare(db, event_type, {**PAYLOADS[event_type], name: value})


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["nova_earned", "nova_redeemed"]), AMOUNTS)
def test_sql_takes_an_amount_that_python_takes_and_no_other(
    db: psycopg.Connection[Any], event_type: str, amount: object
) -> None:
    payload = {**PAYLOADS[event_type], "amount_cents": amount}

    assert _compare(db, event_type, payload) == _python_takes(event_type, payload)


def _compare(db: psycopg.Connection[Any], event_type: str, payload: dict[str, Any]) -> bool:
    """Return whether SQL takes the payload. What it takes is readable only if Python takes it too."""
    with db.transaction(force_rollback=True):
        if event_type in ("nova_earned", "nova_redeemed", "wallet_pass_installed", "first_redemption_completed"):
            known = {**PAYLOADS["driver_signed_up"], "user_id": PAYLOADS[event_type]["user_id"]}
            db.execute(TRACK, ["driver_signed_up", json.dumps(known)])
            db.execute("DELETE FROM outbox_events")
        if _python_takes(event_type, payload):
            # Python's door changes a payload: it trims texts.
            assert _reads(db, event_type, checked(event_type, payload)) != "refused"
        became = _reads(db, event_type, payload)
    if became == "readable":
        assert _python_takes(event_type, payload)
    return became != "refused"


def _python_takes(event_type: str, payload: dict[str, Any]) -> bool:
    try:
        checked(event_type, payload)
    except InvalidEvent:
        return False
    return True


def _reads(db: psycopg.Connection[Any], event_type: str, payload: dict[str, Any]) -> str:
    try:
        with db.transaction():
            db.execute(TRACK, [event_type, encodable(json.dumps(payload))])
    except psycopg.errors.InvalidParameterValue:
        return "refused"
    found = db.execute("SELECT aggregateid, payload::text FROM outbox_events ORDER BY position DESC").fetchone()
    if found is None:
        return "parked"
    try:
        read_envelope(found[0].encode(), found[1].encode())
    except UnreadableRecord:
        return "unreadable"
    return "readable"
