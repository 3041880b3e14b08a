"""What is told beside the payload: the trace, of the caller's span unless the caller names another, and the time."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from opentelemetry.trace import INVALID_SPAN, use_span
from sqlalchemy import Connection, create_engine
from sqlalchemy.orm import Session

from producer import InvalidEvent, track_event, track_events
from tests.foreign.spans import ANOTHER, Spans, traceparent_of
from tests.samples import PAYLOADS, UNTELLABLE

EARNED = PAYLOADS["nova_earned"]


class Outbox:
    """The SQL function, in SQLite, as far as traces need it."""

    def __init__(self) -> None:
        self.traceparents: list[str | None] = []

    def track(self, _type: str, _payload: object, _occurred_at: object, traceparent: str | None) -> str:
        self.traceparents.append(traceparent)
        return "id"


@pytest.fixture
def outbox() -> Outbox:
    return Outbox()


@pytest.fixture
def db(outbox: Outbox) -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        sqlite = connection.connection.driver_connection
        assert sqlite is not None
        sqlite.create_function("track_lifecycle_event", 4, outbox.track)
        sqlite.create_function("now", 0, lambda: "")
        yield connection
    engine.dispose()


def test_an_event_comes_from_the_callers_span(db: Connection, outbox: Outbox) -> None:
    with Spans().tracer.start_as_current_span("a reward") as span:
        track_event(db, "nova_earned", EARNED)
        with Session(db) as session:
            track_event(session, "nova_earned", EARNED)

    assert outbox.traceparents == [traceparent_of(span.get_span_context())] * 2


def test_the_callers_own_word_is_taken_over_its_spans(db: Connection, outbox: Outbox) -> None:
    with Spans().tracer.start_as_current_span("a reward"):
        track_event(db, "nova_earned", EARNED, traceparent=ANOTHER)

    assert outbox.traceparents == [ANOTHER]


def test_outside_a_span_an_event_comes_from_no_trace(db: Connection, outbox: Outbox) -> None:
    track_event(db, "nova_earned", EARNED)
    with use_span(INVALID_SPAN):
        track_event(db, "nova_earned", EARNED)

    assert outbox.traceparents == [None, None]


@pytest.mark.parametrize(
    "traceparent",
    ["", "a\0b", "\ud800", "00-\n", "x" * 1_000_000, b"00-ab", 7, "0af7651916cd43dd8448eb211c80319c", f"{ANOTHER}\n"],
)
def test_a_trace_that_is_not_w3cs_is_refused_before_the_database_is_touched(
    db: Connection, outbox: Outbox, traceparent: Any
) -> None:
    refused = r"^nova_earned: traceparent should be one as W3C has it$"
    with pytest.raises(InvalidEvent, match=refused):
        track_event(db, "nova_earned", EARNED, traceparent=traceparent)
    with pytest.raises(InvalidEvent, match=refused):
        track_events(db, [("nova_earned", EARNED)], traceparent=traceparent)

    assert outbox.traceparents == []


@pytest.mark.parametrize(
    "occurred_at",
    [
        *map(datetime.fromisoformat, UNTELLABLE),
        datetime.max.replace(tzinfo=ZoneInfo("America/New_York")),
        datetime(2026, 11, 24),  # noqa: DTZ001 - what is refused
        date(2026, 11, 24),
        "2026-11-24T03:00:00Z",
    ],
)
def test_a_time_that_no_reader_could_use_is_refused_before_the_database_is_touched(
    db: Connection, outbox: Outbox, occurred_at: Any
) -> None:
    with pytest.raises(InvalidEvent, match=r"^nova_earned: occurred_at "):
        track_event(db, "nova_earned", EARNED, occurred_at=occurred_at)
    with pytest.raises(InvalidEvent, match=r"^nova_earned: occurred_at "):
        track_events(db, [("nova_earned", EARNED)], occurred_at=occurred_at)

    assert outbox.traceparents == []


USELESS: dict[str, list[Any]] = {
    "user_id": ["\ud800", "a\0b", "   ", 42, b"usr_1"],
    "amount_cents": [float("nan"), float("inf"), 2**53, Decimal(5), True],
    "earned_at": [
        "2026-12-31T23:59:60Z",
        "infinity",
        10**18,
        *map(datetime.fromisoformat, ["2026-01-01", *UNTELLABLE]),
    ],
}


@pytest.mark.parametrize(
    ("event_type", "payload"),
    [
        *[("nova_earned", EARNED | {field: value}) for field, values in USELESS.items() for value in values],
        *[("nova_earned", payload) for payload in (None, 5, [("user_id", "usr_1")], ["user_id"], {1: 2})],
        *[(event_type, EARNED) for event_type in (None, "nova\0")],
    ],
)
def test_a_value_that_no_reader_could_use_is_refused_before_the_database_is_touched(
    db: Connection, outbox: Outbox, event_type: Any, payload: Any
) -> None:
    with pytest.raises(InvalidEvent):
        track_event(db, event_type, payload)
    with pytest.raises(InvalidEvent):
        track_events(db, [(event_type, payload)])

    assert outbox.traceparents == []


def test_nobody_needs_opentelemetry_to_track_an_event() -> None:
    program = f"""
import sys
sys.modules["opentelemetry"] = None  # as if it were not installed
from producer import track_event
from sqlalchemy import create_engine
with create_engine("sqlite://").connect() as db:
    sqlite = db.connection.driver_connection
    sqlite.create_function("track_lifecycle_event", 4, lambda *given: repr(given[3]))
    sqlite.create_function("now", 0, lambda: "")
    print(track_event(db, "nova_earned", {EARNED!r}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert (done.stdout.strip(), done.stderr) == ("None", "")


@pytest.mark.parametrize(("fields", "said"), [(100, "nova_earned.f0: Extra inputs"), (101, "more than 100 fields")])
def test_unknown_fields_are_named_unless_there_are_too_many_to_check(db: Connection, fields: int, said: str) -> None:
    with pytest.raises(InvalidEvent, match=said) as refused:
        track_event(db, "nova_earned", {f"f{number}": 1 for number in range(fields)})

    assert (len(refused.value.faults) > 1) == (fields == 100)
