"""`track_events`: several contacts in one transaction, in one order of locks for everybody."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from producer import InvalidEvent, track_events
from tests.foreign.spans import ANOTHER, Spans, traceparent_of
from tests.outbox.outbox import rows
from tests.polling import eventually

TIME = "2026-11-24T03:00:00Z"
Events = Sequence[tuple[str, dict[str, Any]]]


def signed_up(user: str, email: str) -> tuple[str, dict[str, Any]]:
    return "driver_signed_up", {"user_id": user, "email": email, "auth_provider": "apple", "created_at": TIME}


def earned(user: str, cents: int = 1) -> tuple[str, dict[str, Any]]:
    payload = {"user_id": user, "amount_cents": cents, "session_id": "s", "new_balance_cents": 0, "earned_at": TIME}
    return "nova_earned", payload


def created(email: str) -> tuple[str, dict[str, Any]]:
    named = {"merchant_id": "m", "email": email, "name": "Ada", "business_name": "Café", "created_at": TIME}
    return "merchant_contact_created", named


MANY: Events = [
    signed_up("usr_2", "zoe@example.com"),
    signed_up("usr_1", "ada@example.com"),
    earned("usr_2", 5),
    created("shop@example.com"),
    earned("usr_1", 7),
    earned("usr_2", 5),
]
NAMES = ["zoe", "ada", "zoe", "shop", "ada", "zoe"]


def test_the_ids_and_each_contacts_events_are_in_the_order_given(engine: Engine) -> None:
    with Session(engine) as db:
        ids = track_events(db, MANY, occurred_at=None, traceparent=ANOTHER)
        assert rows(engine) == []
        db.commit()

    found = rows(engine)
    assert [row.id for row in found] == ids
    assert [row.aggregateid for row in found] == [f"{name}@example.com" for name in NAMES]
    assert [row.sequence for row in found] == [1, 1, 2, 1, 2, 3]
    assert {row.traceparent for row in found} == {ANOTHER}
    assert found[-1].payload["totals"]["nova_earned_cents"] == 10


def test_several_events_come_from_the_callers_span(engine: Engine) -> None:
    with Spans().tracer.start_as_current_span("rewards") as span, Session(engine) as db:
        track_events(db, MANY)
        track_events(db, [earned("usr_1")], traceparent=ANOTHER)
        db.commit()

    traceparents = [traceparent_of(span.get_span_context())] * len(MANY)
    assert [row.traceparent for row in rows(engine)] == [*traceparents, ANOTHER]


async def test_an_asynchronous_caller_awaits_them(engine: Engine, database_url: str) -> None:
    async_engine = create_async_engine(make_url(database_url).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    async with AsyncSession(async_engine) as db:
        ids = await track_events(db, MANY)
        await db.commit()

    assert [row.id for row in rows(engine)] == ids


def test_one_bad_event_refuses_all_before_the_database_is_touched() -> None:
    nobody = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/nothing", poolclass=NullPool)

    with Session(nobody) as db, pytest.raises(InvalidEvent, match=r"^nova_earned\.amount_cents"):
        track_events(db, [*MANY, earned("usr_1", -1)])


def test_no_events_are_no_ids(engine: Engine) -> None:
    with Session(engine) as db:
        assert track_events(db, []) == []


def test_events_of_an_unknown_user_are_parked_until_one_of_them_names_the_email(engine: Engine) -> None:
    with Session(engine) as db:
        track_events(db, [earned("usr_1", 3), earned("usr_2", 4)])
        db.commit()
        assert rows(engine) == []
        track_events(db, [earned("usr_1", 5), signed_up("usr_1", "ada@example.com"), earned("usr_2", 6)])
        db.commit()

    assert [(row.type, row.sequence, row.payload["totals"]["nova_earned_cents"]) for row in rows(engine)] == [
        ("nova_earned", 1, 3),
        ("nova_earned", 2, 8),
        ("driver_signed_up", 3, 8),
    ]


@pytest.mark.parametrize(
    ("events", "named"),
    [
        ({"event_type": "nova_earned"}, "events: should be a JSON array"),
        (["nova_earned"], "events: each should be an object"),
        ([{"event_type": "nova_earned", "paylaod": {}}], "events: each should be an object"),
        ([{"payload": {"email": "ada@example.com"}}], "event_type"),
        ([{"event_type": "nova_earned"}], "nova_earned: the payload should be a JSON object"),
        ([{"event_type": "a", "payload": {"email": "secret"}}], "a.email: should be an email"),
    ],
)
def test_sql_callers_are_told_what_is_wrong_and_nothing_is_quoted(engine: Engine, events: object, named: str) -> None:
    with Session(engine) as db, pytest.raises(Exception, match=named) as refused:
        db.execute(text("SELECT track_lifecycle_events(CAST(:events AS jsonb))"), {"events": json.dumps(events)})

    assert refused.value.orig.sqlstate == "22023"  # type: ignore[attr-defined]
    assert "secret" not in str(refused.value.orig)  # type: ignore[attr-defined]


EVENTS = st.sampled_from(
    [*(earned(f"usr_{n}") for n in range(3)), *(created(f"m{n}@example.com") for n in range(2))]
) | (st.builds(signed_up, st.sampled_from(["usr_0", "usr_1"]), st.sampled_from(["a@example.com", "m0@example.com"])))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(EVENTS, max_size=8))
def test_several_at_once_leave_what_one_after_the_other_would(database_url: str, events: Events) -> None:
    whole = json.dumps([{"event_type": event_type, "payload": payload} for event_type, payload in events])
    with psycopg.connect(database_url) as db:
        db.execute("SELECT track_lifecycle_events(%s)", [whole])
        at_once = state(db)
        db.rollback()
        for event_type, payload in events:
            db.execute("SELECT track_lifecycle_event(%s, %s)", [event_type, json.dumps(payload)])
        one_by_one = state(db)
        db.rollback()

    assert at_once == one_by_one


def state(db: psycopg.Connection[Any]) -> list[Any]:
    return [
        db.execute(query).fetchall()
        for query in (
            "SELECT aggregateid, type, sequence, payload - 'id' - 'occurred_at' FROM outbox_events ORDER BY position",
            "SELECT external_id, type, payload FROM outbox_parked ORDER BY position",
            "SELECT * FROM outbox_contacts ORDER BY contact_key",
            "SELECT * FROM outbox_directory ORDER BY external_id",
        )
    ]


CLIENTS, ROUNDS = 12, 15
Track = Callable[[psycopg.AsyncConnection[Any], Events], Awaitable[None]]


async def in_one_call(db: psycopg.AsyncConnection[Any], events: Events) -> None:
    whole = json.dumps([{"event_type": event_type, "payload": payload} for event_type, payload in events])
    await db.execute("SELECT track_lifecycle_events(%s)", [whole])


async def one_by_one(db: psycopg.AsyncConnection[Any], events: Events) -> None:
    for event_type, payload in events:
        await db.execute("SELECT track_lifecycle_event(%s, %s)", [event_type, json.dumps(payload)])


async def test_transactions_that_share_contacts_never_deadlock_in_one_call(database_url: str) -> None:
    committed, deadlocks = await share_contacts(database_url, in_one_call)

    assert deadlocks == 0
    assert committed == CLIENTS * ROUNDS
    with psycopg.connect(database_url) as db:
        sequences = db.execute("SELECT aggregateid, sequence FROM outbox_events ORDER BY position").fetchall()
    for key, events in Counter(key for key, _ in sequences).items():
        assert [sequence for other, sequence in sequences if other == key] == list(range(1, events + 1))


async def test_the_same_transactions_deadlock_where_they_track_one_event_after_the_other(database_url: str) -> None:
    _, deadlocks = await share_contacts(database_url, one_by_one)

    assert deadlocks > 0


async def test_an_event_that_waited_for_a_contact_of_another_user_by_now_does_not_keep_it_locked(
    database_url: str,
) -> None:
    with psycopg.connect(database_url) as moving, psycopg.connect(database_url, autocommit=True) as looking:
        track(moving, signed_up("usr_1", "ada@example.com"))
        moving.commit()
        track(moving, signed_up("usr_1", "zoe@example.com"))
        async with await psycopg.AsyncConnection.connect(database_url) as waiting:
            tracked = asyncio.create_task(one_by_one(waiting, [earned("usr_1")]))
            await eventually(lambda: waits(looking), saying="the event waits")
            moving.commit()
            await tracked

            looking.execute("SELECT FROM outbox_contacts WHERE contact_key = 'ada@example.com' FOR UPDATE NOWAIT")
        keys = looking.execute("SELECT aggregateid FROM outbox_events ORDER BY position").fetchall()

    assert keys == [("ada@example.com",), ("zoe@example.com",), ("zoe@example.com",)]


def track(db: psycopg.Connection[Any], event: tuple[str, dict[str, Any]]) -> None:
    db.execute("SELECT track_lifecycle_event(%s, %s)", [event[0], json.dumps(event[1])])


async def waits(db: psycopg.Connection[Any]) -> bool:
    return db.execute("SELECT FROM pg_locks WHERE NOT granted").fetchone() is not None


async def share_contacts(url: str, track: Track) -> tuple[int, int]:
    """Return how many transactions committed and how many were the victims of a deadlock.

    They name known users, users who move to an email that may be new or another's, users not known yet, and emails
    alone. Some clients track a single event, as most callers do.
    """
    chance = random.Random(23)
    outcomes: Counter[str] = Counter()
    emails = [f"{letter}@example.com" for letter in "abcdefgh"]
    for number, email in enumerate(emails[:4]):
        with psycopg.connect(url) as db:
            event_type, payload = signed_up(f"usr_{number}", email)
            db.execute("SELECT track_lifecycle_event(%s, %s)", [event_type, json.dumps(payload)])

    def event() -> tuple[str, dict[str, Any]]:
        user, email = f"usr_{chance.randrange(8)}", chance.choice(emails)
        return chance.choice([earned(user), earned(user), signed_up(user, email), created(email)])

    async def client(number: int) -> None:
        async with await psycopg.AsyncConnection.connect(url) as db:
            # A deadlock is found when somebody has waited so long.
            await db.execute("SET deadlock_timeout = '50ms'")
            await db.commit()
            for _ in range(ROUNDS):
                events = [event() for _ in range(1 if number % 4 == 0 else chance.randint(2, 6))]
                try:
                    await (one_by_one if number % 4 == 0 else track)(db, events)
                    await db.commit()
                    outcomes["committed"] += 1
                except psycopg.errors.DeadlockDetected:
                    await db.rollback()
                    outcomes["deadlock"] += 1

    await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    return outcomes["committed"], outcomes["deadlock"]
