"""The role of a backend tracks events, and can do nothing else with the outbox: read, forge, or set back."""

import json
from collections.abc import AsyncIterator
from typing import Any, LiteralString

import psycopg
import pytest
from sqlalchemy import create_engine, make_url
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from producer import track_event, track_events
from producer.migrations.grants import ENTRIES, SEQUENCES, TABLES
from tests.commands import run
from tests.outbox.roles import Roles, made
from tests.samples import EMAIL, PAYLOADS

TRACK = "SELECT track_lifecycle_event(%s, %s::jsonb)"
ROWS = "SELECT aggregateid, type, sequence FROM outbox_events ORDER BY position"
USER = PAYLOADS["driver_signed_up"]["user_id"]
SIGNED_UP = ("driver_signed_up", PAYLOADS["driver_signed_up"])
EARNED = ("nova_earned", {**PAYLOADS["nova_earned"], "user_id": USER})


@pytest.fixture
async def roles(database_url: str) -> AsyncIterator[Roles]:
    async with made(database_url) as roles:
        yield roles


@pytest.fixture
async def granted(roles: Roles) -> Roles:
    done = await roles.granted("--apply")
    assert (done.code, done.errors) == (0, ""), done
    return roles


async def rows(url: str) -> list[tuple[Any, ...]]:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        return await (await connection.execute(ROWS)).fetchall()


def tracked(url: str) -> None:
    """Park an event, release it, and track several."""
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    with Session(engine) as db:
        track_event(db, *EARNED)
        track_event(db, *SIGNED_UP)
        track_events(db, [EARNED, ("merchant_contact_created", PAYLOADS["merchant_contact_created"])])
        db.commit()


async def test_the_role_of_a_backend_tracks(granted: Roles) -> None:
    tracked(granted.backend)

    found = await rows(granted.owner)
    assert [(kind, number) for _, kind, number in found] == [
        ("nova_earned", 1),
        ("driver_signed_up", 2),
        ("nova_earned", 3),
        ("merchant_contact_created", 4),
    ]


REFUSED: list[LiteralString] = [
    *[f"SELECT FROM {table}" for table in TABLES],
    *[f"DELETE FROM {table}" for table in TABLES],
    *[f"TRUNCATE {table}" for table in TABLES],
    *[f"COPY {table} TO STDOUT" for table in TABLES],
    *[f"LOCK TABLE {table}" for table in TABLES],
    *[f"DROP TABLE {table}" for table in TABLES],
    *[
        f"CREATE TRIGGER t BEFORE INSERT ON {table} EXECUTE FUNCTION suppress_redundant_updates_trigger()"
        for table in TABLES
    ],
    *[f"SELECT nextval('{sequence}')" for sequence in SEQUENCES],
    *[f"SELECT setval('{sequence}', 1)" for sequence in SEQUENCES],
    *[f"SELECT last_value FROM {sequence}" for sequence in SEQUENCES],
    "INSERT INTO outbox_events (type, aggregateid, sequence) VALUES ('nova_earned', 'ada@example.com', 9)",
    "INSERT INTO outbox_contacts (contact_key, sequence) VALUES ('ada@example.com', 9)",
    "UPDATE outbox_contacts SET sequence = 0",
    "UPDATE outbox_directory SET contact_key = 'eve@example.com'",
    "SELECT * FROM outbox_events WHERE position = 1 FOR UPDATE",
    "ALTER TABLE outbox_events ADD COLUMN mine text",
    "ALTER FUNCTION track_lifecycle_events(jsonb) SECURITY INVOKER",
    "CREATE OR REPLACE FUNCTION track_lifecycle_events(events jsonb) RETURNS uuid[] LANGUAGE sql AS 'SELECT NULL'",
    "SELECT lifecycle_write(gen_random_uuid(), 'nova_earned', '{}', now(), NULL, 'ada@example.com')",
    "SELECT lifecycle_learn('usr_1', 'eve@example.com')",
    "SELECT lifecycle_release('usr_1', 'eve@example.com')",
    'SELECT lifecycle_lock(\'[{"payload": {"user_id": "usr_1"}}]\')',
    'SELECT lifecycle_track(\'nova_earned\', \'{"user_id": "usr_1", "amount_cents": 1}\', now(), NULL)',
    "GRANT SELECT ON outbox_events TO PUBLIC",
    "CREATE FUNCTION public.lifecycle_check(text, json) RETURNS void LANGUAGE sql AS ''",
]


async def test_whatever_else_it_tries_is_refused(granted: Roles) -> None:
    tracked(granted.backend)
    done: list[str] = []
    async with await psycopg.AsyncConnection.connect(granted.backend, autocommit=True) as backend:
        for statement in REFUSED:
            try:
                async with backend.transaction():
                    await backend.execute(statement)
            except psycopg.errors.InsufficientPrivilege:
                continue
            done.append(statement)

    assert done == []
    assert [number for *_, number in await rows(granted.owner)] == [1, 2, 3, 4]


SHADOWS = """
CREATE TEMP TABLE outbox_contacts (contact_key text PRIMARY KEY, external_id text UNIQUE, sequence bigint DEFAULT 40,
    totals jsonb DEFAULT '{}');
CREATE TEMP TABLE outbox_events (id uuid, aggregateid text, type text, sequence bigint, traceparent text,
    payload jsonb);
CREATE TEMP TABLE outbox_directory (external_id text PRIMARY KEY, contact_key text);
INSERT INTO outbox_directory VALUES ('usr_1', 'eve@example.com');
CREATE FUNCTION pg_temp.lifecycle_check(text, jsonb) RETURNS void LANGUAGE sql AS 'SELECT 1 / 0';
CREATE FUNCTION pg_temp.lifecycle_contact_key(text) RETURNS text LANGUAGE sql AS $$ SELECT 'eve@example.com' $$;
CREATE FUNCTION pg_temp.always(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE OPERATOR pg_temp.= (FUNCTION = pg_temp.always, LEFTARG = text, RIGHTARG = text);
SET search_path = pg_temp, public, pg_catalog;
"""


async def test_nothing_of_the_callers_stands_in_for_what_the_functions_name(granted: Roles) -> None:
    async with await psycopg.AsyncConnection.connect(granted.backend, autocommit=True) as backend:
        await backend.execute(SHADOWS)
        for event_type, payload in (SIGNED_UP, EARNED):
            await backend.execute(TRACK, [event_type, json.dumps(payload)])
        own = await (await backend.execute("SELECT count(*) FROM pg_temp.outbox_events")).fetchone()

    assert own == (0,)
    assert [(key, number) for key, _, number in await rows(granted.owner)] == [(EMAIL.lower(), 1), (EMAIL.lower(), 2)]


@pytest.mark.parametrize("event", [EARNED, SIGNED_UP], ids=["of a known user", "with an email"])
async def test_a_refusal_tells_nothing_of_the_row(granted: Roles, event: tuple[str, dict[str, Any]]) -> None:
    tracked(granted.backend)
    large = {**event[1], "more": "x" * 950_000, "email": "other@example.com"} if "email" in event[1] else event[1]
    async with await psycopg.AsyncConnection.connect(granted.backend, autocommit=True) as backend:
        with pytest.raises(psycopg.errors.CheckViolation, match="the payload is too large") as refused:
            await backend.execute(TRACK, [event[0], json.dumps({**large, "more": "x" * 950_000})])

    assert refused.value.diag.message_detail is None
    assert EMAIL.lower() not in str(refused.value)


async def test_a_backend_of_today_goes_on_without_grants(roles: Roles) -> None:
    async with await psycopg.AsyncConnection.connect(roles.owner, autocommit=True) as owner:
        given = "GRANT INSERT ON outbox_events TO {0}; GRANT SELECT, INSERT, UPDATE ON outbox_contacts TO {0}"
        await owner.execute(given.format(roles.name(roles.backend)).encode())

    tracked(roles.backend)

    assert len(await rows(roles.owner)) == 4


async def test_without_apply_it_prints_what_it_would_do(roles: Roles) -> None:
    printed = await roles.granted()
    assert printed.code == 0
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await rows(roles.console)

    async with await psycopg.AsyncConnection.connect(roles.owner, autocommit=True) as owner:
        await owner.execute(printed.output.encode())

    tracked(roles.backend)
    assert len(await rows(roles.console)) == 4


async def test_a_role_that_can_more_is_named(roles: Roles) -> None:
    backend, owner = roles.name(roles.backend), roles.name(roles.migrating)
    async with await psycopg.AsyncConnection.connect(roles.owner, autocommit=True) as administrator:
        await administrator.execute(f"GRANT {owner} TO {backend}".encode())
        member = await roles.granted("--apply")
        await administrator.execute(
            f"REVOKE {owner} FROM {backend}; GRANT CREATE ON SCHEMA public TO {backend}".encode()
        )
        creating = await roles.granted("--apply")

    assert (member.code, creating.code) == (1, 1)
    assert member.errors == f"but the role {backend} owns the outbox, or is a member of the role that does\n"
    assert creating.errors.startswith(f"but the role {backend} may create objects in the schema of the outbox")


async def test_a_role_that_is_not_there_is_one_line_and_changes_nothing(roles: Roles) -> None:
    done = await run(
        "producer",
        *("grants", "--backend", "nobody_has_this", "--relay", roles.name(roles.relay), "--apply"),
        environment={"DATABASE_URL": roles.owner},
    )

    assert (done.code, done.errors) == (1, 'DATABASE_URL: role "nobody_has_this" does not exist\n')
    tracked(roles.backend)


async def test_a_hardened_database_is_migrated_by_a_role_that_is_no_superuser(empty_database_url: str) -> None:
    async with made(empty_database_url) as roles:
        async with await psycopg.AsyncConnection.connect(empty_database_url, autocommit=True) as administrator:
            migrating = roles.name(roles.migrating)
            await administrator.execute(
                "ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;"
                f"ALTER DEFAULT PRIVILEGES FOR ROLE {migrating} REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;"
                f"REVOKE ALL ON SCHEMA public FROM PUBLIC; GRANT USAGE, CREATE ON SCHEMA public TO {migrating}".encode()
            )
        migrated = await run("producer", "migrate", environment={"DATABASE_URL": roles.migrating})
        assert migrated.code == 0, migrated.errors
        own = await run(
            "producer",
            *("grants", "--backend", roles.name(roles.backend), "--relay", roles.name(roles.relay), "--apply"),
            environment={"DATABASE_URL": roles.migrating},
        )
        # The grant of USAGE on the schema is its owner's to make: this one may not.
        assert own.code in (0, 1)
        assert (await roles.granted("--apply")).code == 0

        tracked(roles.backend)

        assert len(await rows(roles.owner)) == 4


async def test_policies_that_bind_the_owner_too_leave_the_functions_as_they_are(roles: Roles) -> None:
    async with await psycopg.AsyncConnection.connect(roles.owner, autocommit=True) as owner:
        await owner.execute("ALTER TABLE outbox_events FORCE ROW LEVEL SECURITY")
        await owner.execute("UPDATE outbox_alembic_version SET version_num = '0010'")
        for entry in ENTRIES:
            await owner.execute(f"ALTER FUNCTION {entry} SECURITY INVOKER RESET ALL".encode())

        migrated = await run("producer", "migrate", environment={"DATABASE_URL": roles.owner})

        found = await owner.execute("SELECT bool_or(prosecdef) FROM pg_proc WHERE proname LIKE 'track%'")
        assert await found.fetchone() == (False,)
    assert migrated.code == 0
    assert "roles of backends need rights to the tables" in migrated.output


@pytest.mark.parametrize("path", ["RESET search_path", "SET search_path = public, pg_temp"])
async def test_a_function_that_an_upgrade_replaces_keeps_its_owners_rights(roles: Roles, path: str) -> None:
    kept = "SELECT prosecdef, proconfig FROM pg_proc WHERE proname = 'track_lifecycle_event'"
    async with await psycopg.AsyncConnection.connect(roles.owner, autocommit=True) as owner:
        await owner.execute(f"ALTER FUNCTION track_lifecycle_event SECURITY DEFINER {path}".encode())
        before = await (await owner.execute(kept)).fetchone()
        await owner.execute("UPDATE outbox_alembic_version SET version_num = '0011'")

        migrated = await run("producer", "migrate", environment={"DATABASE_URL": roles.owner})

        assert migrated.code == 0, migrated.errors
        assert await (await owner.execute(kept)).fetchone() == before
    assert before is not None
    assert before[0]
