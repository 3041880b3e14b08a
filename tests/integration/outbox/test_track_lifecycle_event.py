"""The SQL function: sequence, totals, the directory, parking and release."""

import asyncio
import json
import random
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from schemas.envelope import Envelope, read_envelope
from schemas.outbox import ASLEEP_LOCK, CHANNEL
from tests.examples import examples

TIME = "2026-11-24T03:00:00Z"


def signed_up(user: str, email: str) -> dict[str, Any]:
    return {"user_id": user, "email": email, "auth_provider": "apple", "created_at": TIME}


def earned(user: str, cents: int = 500) -> dict[str, Any]:
    return {"user_id": user, "amount_cents": cents, "session_id": "s", "new_balance_cents": 0, "earned_at": TIME}


def redeemed(user: str, cents: int = 100) -> dict[str, Any]:
    return earned(user, cents) | {"merchant_id": "m", "redemption_id": "r", "redeemed_at": TIME}


def track(db: psycopg.Connection[Any], event_type: str, payload: object, **named: object) -> str:
    extra = "".join(f", {name} => %({name})s" for name in named)
    row = db.execute(
        f"SELECT track_lifecycle_event(%(event_type)s, %(payload)s::jsonb{extra})",
        {"event_type": event_type, "payload": json.dumps(payload), **named},
    ).fetchone()
    assert row is not None
    return str(row[0])


def envelopes(db: psycopg.Connection[Any]) -> list[Envelope]:
    rows = db.execute("SELECT aggregateid, payload::text FROM outbox_events ORDER BY position").fetchall()
    return [read_envelope(key.encode(), value.encode()) for key, value in rows]


@pytest.fixture
def db(database_url: str) -> Any:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


def test_an_event_becomes_the_envelope_of_the_contract(db: psycopg.Connection[Any]) -> None:
    event_id = track(
        db, "driver_signed_up", signed_up("usr_1", " Ada@Example.com "), occurred_at="2026-11-24T03:00:00.123456+01:00"
    )

    row = db.execute(
        "SELECT id::text, aggregatetype, aggregateid, type, sequence, payload FROM outbox_events"
    ).fetchone()
    assert row is not None
    assert row[:5] == (event_id, "contact", "ada@example.com", "driver_signed_up", 1)
    assert row[5] == {
        "id": event_id,
        "type": "driver_signed_up",
        "schema_version": 1,
        "sequence": 1,
        "occurred_at": "2026-11-24T02:00:00.123456Z",
        "contact": {"email": "ada@example.com", "external_id": "usr_1"},
        "totals": {"nova_earned_cents": 0, "nova_redeemed_cents": 0},
        "payload": signed_up("usr_1", " Ada@Example.com "),
    }
    assert event_id[14] == "7"


def test_a_user_is_known_by_the_email_of_an_earlier_event_and_totals_run(db: psycopg.Connection[Any]) -> None:
    track(db, "driver_signed_up", signed_up("usr_1", "ada@example.com"))
    track(db, "nova_earned", earned("usr_1", 500))
    track(db, "nova_redeemed", redeemed("usr_1", 100))
    track(db, "nova_earned", earned("usr_1", 70))

    found = envelopes(db)

    assert [envelope.sequence for envelope in found] == [1, 2, 3, 4]
    assert {envelope.contact.email for envelope in found} == {"ada@example.com"}
    assert [envelope.totals.nova_earned_cents for envelope in found] == [0, 500, 500, 570]
    assert [envelope.totals.nova_redeemed_cents for envelope in found] == [0, 0, 100, 100]


@pytest.mark.parametrize("total", ['"4500"', "4500", "null"])
def test_a_total_that_was_written_by_hand_is_counted_on_if_it_can_be(db: psycopg.Connection[Any], total: str) -> None:
    track(db, "driver_signed_up", signed_up("usr_1", "ada@example.com"))
    db.execute("UPDATE outbox_contacts SET totals = %s", [f'{{"nova_earned_cents": {total}}}'])
    track(db, "nova_earned", earned("usr_1", 5))

    assert envelopes(db)[-1].totals.nova_earned_cents == (5 if total == "null" else 4505)


def test_a_whole_number_may_be_written_with_a_fraction_of_nought(db: psycopg.Connection[Any]) -> None:
    track(db, "driver_signed_up", signed_up("usr_1", "ada@example.com"))
    db.execute("DELETE FROM outbox_events")
    payload = json.dumps(earned("usr_1", 500)).replace("500", "500.0")
    db.execute("SELECT track_lifecycle_event('nova_earned', %s::jsonb)", [payload])

    [found] = db.execute("SELECT aggregateid, payload::text FROM outbox_events").fetchall()
    assert '"amount_cents": 500.0' in found[1]
    assert read_envelope(found[0].encode(), found[1].encode()).totals.nova_earned_cents == 500


def test_events_without_a_known_email_are_parked_and_released_in_order_by_the_event_that_names_it(
    db: psycopg.Connection[Any],
) -> None:
    parked = [track(db, "nova_earned", earned("usr_1", cents), traceparent=f"tp-{cents}") for cents in (10, 20, 30)]
    assert envelopes(db) == []

    signup = track(db, "driver_signed_up", signed_up("usr_1", "ada@example.com"))

    found = envelopes(db)
    assert [str(envelope.id) for envelope in found] == [*parked, signup]
    assert [envelope.sequence for envelope in found] == [1, 2, 3, 4]
    assert [envelope.totals.nova_earned_cents for envelope in found] == [10, 30, 60, 60]
    traces = db.execute("SELECT traceparent FROM outbox_events ORDER BY position").fetchall()
    assert traces == [("tp-10",), ("tp-20",), ("tp-30",), (None,)]
    assert db.execute("SELECT count(*) FROM outbox_parked").fetchone() == (0,)


def test_a_rolled_back_release_leaves_the_events_parked(db: psycopg.Connection[Any]) -> None:
    track(db, "nova_earned", earned("usr_1"))
    with db.transaction(force_rollback=True):
        track(db, "driver_signed_up", signed_up("usr_1", "ada@example.com"))

    assert envelopes(db) == []
    assert db.execute("SELECT count(*) FROM outbox_parked").fetchone() == (1,)


def test_a_user_who_changes_email_goes_on_under_the_new_one(db: psycopg.Connection[Any]) -> None:
    track(db, "driver_signed_up", signed_up("usr_1", "ada@example.com"))
    track(db, "driver_signed_up", signed_up("usr_1", "ada.l@example.com"))
    track(db, "nova_earned", earned("usr_1"))

    assert [(envelope.contact.email, envelope.sequence) for envelope in envelopes(db)] == [
        ("ada@example.com", 1),
        ("ada.l@example.com", 1),
        ("ada.l@example.com", 2),
    ]
    contacts = db.execute("SELECT contact_key, external_id FROM outbox_contacts").fetchall()
    assert sorted(contacts) == [("ada.l@example.com", "usr_1"), ("ada@example.com", None)]


def test_two_users_may_share_an_email(db: psycopg.Connection[Any]) -> None:
    track(db, "driver_signed_up", signed_up("usr_1", "ada@example.com"))
    track(db, "driver_signed_up", signed_up("usr_2", "ada@example.com"))
    track(db, "nova_earned", earned("usr_1", 1))
    track(db, "nova_earned", earned("usr_2", 2))

    assert [envelope.totals.nova_earned_cents for envelope in envelopes(db)] == [0, 0, 1, 3]


@pytest.mark.parametrize(
    ("event_type", "payload", "named"),
    [
        ("Nova Earned", {"email": "a@example.com"}, "event_type"),
        ("nova_earned", [1], "JSON object"),
        ("nova_earned", {"amount_cents": 5}, "nova_earned.email"),
        ("driver_signed_up", {"email": 7}, "driver_signed_up.email"),
        ("driver_signed_up", {"email": "secret.example.com"}, "driver_signed_up.email"),
        ("driver_signed_up", {"email": "secret @example.com"}, "driver_signed_up.email"),
        ("nova_earned", {"user_id": 7, "amount_cents": 5}, "nova_earned.user_id"),
        ("nova_earned", {"user_id": "secret" * 43, "amount_cents": 5}, "nova_earned.user_id"),
        ("driver_signed_up", {"user_id": "secret" * 43, "email": "ada@example.com"}, "driver_signed_up.user_id"),
        ("driver_signed_up", {"email": "\u0315\u0300" * 100_000 + "@example.com"}, "driver_signed_up.email"),
        ("nova_earned", {"user_id": "u"}, "nova_earned.amount_cents"),
        ("nova_earned", {"user_id": "u", "amount_cents": "5"}, "nova_earned.amount_cents"),
        ("nova_earned", {"user_id": "u", "amount_cents": -5}, "nova_earned.amount_cents"),
        ("nova_redeemed", {"user_id": "u", "amount_cents": 1.5}, "nova_redeemed.amount_cents"),
        ("nova_redeemed", {"user_id": "u", "amount_cents": 1e300}, "nova_redeemed.amount_cents"),
    ],
)
def test_gross_errors_name_the_field_and_quote_nothing(
    db: psycopg.Connection[Any], event_type: str, payload: object, named: str
) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue) as refused:
        track(db, event_type, payload)

    assert named in str(refused.value)
    assert "secret" not in str(refused.value)


PAYLOADS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "user_id": st.sampled_from(["usr_1", "usr_2", "usr_3", "7", 7, "", None, ["usr_1"]]),
        "email": st.sampled_from(["ada@example.com", "bob@example.com", "nobody", 7, None]),
        "amount_cents": st.sampled_from(
            [0, 5, 500.0, 1.5, -1, 10**15, 2**53 - 1, 2**53, 1e300, "5", "", None, True, [5], [], {}]
        ),
        "session_id": st.sampled_from(["s", "a" * 255, "a" * 256, "é" * 255, 7]),
    },
)
TYPES = st.sampled_from(
    ["nova_earned", "nova_redeemed", "wallet_pass_installed", "v2_seen", "_x", "", "Nova", "a b", "a" * 100, "a" * 101]
)


@settings(max_examples=examples(400), suppress_health_check=[HealthCheck.function_scoped_fixture])
@example([("wallet_pass_installed", {"user_id": 7})])
@example([("nova_earned", {"user_id": "usr_1", "amount_cents": amount}) for amount in (-1, 0, 2**53 - 1, 2**53)])
@given(st.lists(st.tuples(TYPES, st.one_of(PAYLOADS, st.sampled_from([[1], "text", None]))), min_size=1, max_size=4))
def test_the_short_way_of_common_events_ends_where_the_long_way_does(
    db: psycopg.Connection[Any], events: list[tuple[str, object]]
) -> None:
    def outcome(function: str) -> list[Any]:
        with db.transaction(force_rollback=True):
            # usr_1 is known; usr_2 was, until usr_3 took the email; a 7 that is text is; one of usr_3 is parked, as a
            # transaction may leave it that could not see that the user is known.
            for user, email in (("usr_1", "ada"), ("usr_2", "bob"), ("usr_3", "bob"), ("7", "seven")):
                track(db, "driver_signed_up", signed_up(user, f"{email}@example.com"))
            db.execute(
                "INSERT INTO outbox_parked (external_id, id, type, payload, occurred_at)"
                " VALUES ('usr_3', gen_random_uuid(), 'nova_earned', %s, %s)",
                [json.dumps(earned("usr_3")), TIME],
            )
            said = [_said(db, function, event_type, payload) for event_type, payload in events]
            return [
                said,
                db.execute(
                    "SELECT aggregateid, type, sequence, traceparent, payload - 'id' FROM outbox_events"
                    " WHERE type <> 'driver_signed_up' ORDER BY position"
                ).fetchall(),
                db.execute("SELECT * FROM outbox_contacts ORDER BY contact_key").fetchall(),
                db.execute("SELECT external_id, type, payload FROM outbox_parked ORDER BY position").fetchall(),
            ]

    assert outcome("track_lifecycle_event") == outcome("lifecycle_track")


def _said(db: psycopg.Connection[Any], function: str, event_type: str, payload: object) -> str | None:
    try:
        with db.transaction():
            db.execute(f"SELECT {function}(%s, %s::jsonb, %s, 'tp')", [event_type, json.dumps(payload), TIME])
    except psycopg.Error as refused:
        return f"{refused.sqlstate} {refused.diag.message_primary}"
    return None


@pytest.mark.parametrize("user", ["usr_known", "usr_new"])
@pytest.mark.parametrize(
    "time", ["infinity", "-infinity", "0044-03-15 12:00:00+00 BC", "10000-01-01 00:00:00+00", "0001-01-01 00:00:00+01"]
)
def test_a_time_outside_of_the_years_that_readers_know_is_refused(
    db: psycopg.Connection[Any], user: str, time: str
) -> None:
    # By the long way, by the short one of a known user, among several, and where it would be parked.
    track(db, "driver_signed_up", signed_up("usr_known", "ada@example.com"))
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=r"^nova_earned: occurred_at should be within"):
        track(db, "nova_earned", earned(user), occurred_at=time)
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=r"^driver_signed_up: occurred_at should be within"):
        track(db, "driver_signed_up", signed_up(user, "grace@example.com"), occurred_at=time)
    events = [{"event_type": "nova_earned", "payload": earned(user), "occurred_at": time}]
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=r"^nova_earned: occurred_at should be within"):
        db.execute("SELECT track_lifecycle_events(%s::jsonb)", [json.dumps(events)])

    assert len(envelopes(db)) == 1
    assert db.execute("SELECT count(*) FROM outbox_parked").fetchone() == (0,)


@pytest.mark.parametrize(
    ("time", "told"),
    [
        ("0001-01-01 00:00:00+00", "0001-01-01T00:00:00.000000Z"),
        ("9999-12-31 23:59:59.999999+00", "9999-12-31T23:59:59.999999Z"),
        ("10000-01-01 13:59:00+14", "9999-12-31T23:59:00.000000Z"),
    ],
)
def test_a_time_of_the_first_or_the_last_year_is_taken(db: psycopg.Connection[Any], time: str, told: str) -> None:
    track(db, "driver_signed_up", signed_up("usr_1", "ada@example.com"), occurred_at=time)
    track(db, "nova_earned", earned("usr_1"), occurred_at=time)

    envelopes(db)
    rows = db.execute("SELECT DISTINCT payload ->> 'occurred_at' FROM outbox_events").fetchall()
    assert rows == [(told,)]


def test_an_event_type_that_this_version_does_not_know_is_taken(db: psycopg.Connection[Any]) -> None:
    track(db, "charger_visited", {"email": "ada@example.com"})

    assert db.execute("SELECT type, sequence FROM outbox_events").fetchall() == [("charger_visited", 1)]


async def test_sequences_have_no_hole_and_follow_the_commits_of_concurrent_transactions(database_url: str) -> None:
    chance = random.Random(11)

    async def writer() -> None:
        async with await psycopg.AsyncConnection.connect(database_url) as connection:
            for _ in range(25):
                for _ in range(chance.choice((1, 2))):
                    payload = json.dumps({"email": "ada@example.com", "amount_cents": 1})
                    await connection.execute("SELECT track_lifecycle_event('nova_earned', %s::jsonb)", [payload])
                await (connection.rollback() if chance.random() < 0.3 else connection.commit())

    await asyncio.gather(*(writer() for _ in range(16)))

    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT sequence, (payload #>> '{totals,nova_earned_cents}')::int FROM outbox_events ORDER BY position"
        ).fetchall()
        last = connection.execute("SELECT sequence FROM outbox_contacts").fetchone()
    assert rows == [(number, number) for number in range(1, len(rows) + 1)]
    assert last == (len(rows),)
    assert len(rows) > 100


async def test_parking_and_learning_at_once_neither_loses_nor_doubles_an_event(database_url: str) -> None:
    users = [f"usr_{number}" for number in range(20)]

    async def earn(user: str) -> None:
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
            for _ in range(5):
                await connection.execute(
                    "SELECT track_lifecycle_event('nova_earned', %s::jsonb)", [json.dumps(earned(user, 1))]
                )

    async def sign_up(user: str) -> None:
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
            payload = json.dumps(signed_up(user, f"{user}@example.com"))
            await connection.execute("SELECT track_lifecycle_event('driver_signed_up', %s::jsonb)", [payload])

    for user in users:
        await asyncio.gather(earn(user), sign_up(user), earn(user))

    with psycopg.connect(database_url) as connection:
        rows = connection.execute("SELECT aggregateid, sequence FROM outbox_events ORDER BY position").fetchall()
        parked = connection.execute("SELECT count(*) FROM outbox_parked").fetchone()
    assert parked == (0,)
    for user in users:
        assert [sequence for key, sequence in rows if key == f"{user}@example.com"] == list(range(1, 12))


def test_the_relay_is_notified_only_while_it_sleeps(database_url: str, db: psycopg.Connection[Any]) -> None:
    with psycopg.connect(database_url, autocommit=True) as relay:
        relay.execute(f"LISTEN {CHANNEL}")
        track(db, "driver_signed_up", signed_up("usr_1", "ada@example.com"))
        assert list(relay.notifies(timeout=0.2)) == []

        assert relay.execute("SELECT pg_try_advisory_lock(%s)", [ASLEEP_LOCK]).fetchone() == (True,)
        track(db, "nova_earned", earned("usr_1"))
        assert [note.channel for note in relay.notifies(timeout=5, stop_after=1)] == [CHANNEL]


def test_emails_are_taken_where_strings_are_read_with_backslash_escapes(db: psycopg.Connection[Any]) -> None:
    db.execute("SET standard_conforming_strings = off")

    track(db, "driver_signed_up", signed_up("usr_1", "ada.stone@example.com"))

    assert [envelope.contact.email for envelope in envelopes(db)] == ["ada.stone@example.com"]
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="should be an email"):
        track(db, "driver_signed_up", signed_up("usr_2", "ada stone@example.com"))
