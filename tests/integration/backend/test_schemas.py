"""An outbox in a schema of its own, beside another in the same database: each has a relay that publishes it."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from console.contacts.outbox import ContactsOutbox, OutboxAway
from producer import InvalidEvent, track_event, track_events
from producer.relay import session
from producer.relay.outbox import Outbox
from runtime.clock import SystemClock
from runtime.database import in_schema
from sandbox.services import Service
from sandbox.stack import create_topics
from schemas.topics import Topics
from tests.commands import Done, run
from tests.foreign.pgbouncer import pooled
from tests.outbox.intake import calling
from tests.outbox.relays import relay_of
from tests.outbox.roles import made
from tests.polling import eventually
from tests.samples import PAYLOADS

EVENT = ("driver_signed_up", PAYLOADS["driver_signed_up"])


async def commanded(url: str, schema: str, *arguments: str) -> Done:
    done = await run("producer", *arguments, environment={"DATABASE_URL": url, "OUTBOX_SCHEMA": schema})
    assert done.code == 0, done.errors
    return done


@pytest.fixture
async def crm_url(database_url: str) -> str:
    """A database with an outbox in its usual place, and another in the schema crm."""
    await commanded(database_url, "crm", "migrate")
    await commanded(database_url, "crm", "migrate")
    return database_url


async def waiting(url: str) -> dict[str, int]:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        asked = "SELECT (SELECT count(*) FROM public.outbox_events), (SELECT count(*) FROM crm.outbox_events)"
        row = await (await connection.execute(asked)).fetchone()
        assert row is not None
        return dict(zip(("public", "crm"), row, strict=True))


async def test_an_event_is_tracked_into_the_schema_that_is_named(crm_url: str, engine: Engine) -> None:
    with Session(engine) as db:
        track_event(db, *EVENT)
        track_event(db, *EVENT, schema="crm")
        track_events(db, [EVENT, EVENT], schema="crm")
        with pytest.raises(ValueError, match="schema"):
            track_event(db, *EVENT, schema="crm;drop")
        with pytest.raises(InvalidEvent):
            track_event(db, "nova_earned", {}, schema="crm")
        db.commit()

    assert await waiting(crm_url) == {"public": 1, "crm": 3}


async def _is(service: Service, role: str) -> bool:
    return (await service.health())[1].get("relay") == role


async def test_each_outbox_has_an_active_relay_of_its_own(
    crm_url: str, kafka: Any, topic_prefix: str, tmp_path: Path
) -> None:
    relays = []
    for number, schema in enumerate(("", "crm", "crm")):
        prefix = f"{topic_prefix}{schema}{number > 1}."
        await create_topics(kafka.bootstrap_servers, Topics(prefix), 3)
        more = {"OUTBOX_SCHEMA": schema} if schema else {}
        relays.append(relay_of(tmp_path, crm_url, kafka, prefix, **more))
    first, crm, another = relays
    try:
        for relay in (first, crm):
            await relay.launch_and_wait()
            await eventually(lambda relay=relay: _is(relay, "active"), saying="it is active")  # type: ignore[misc]
        await another.launch_and_wait()
        assert await _is(another, "standby")
        async with await psycopg.AsyncConnection.connect(crm_url, autocommit=True) as backend:
            for schema in ("public", "crm"):
                await backend.execute(
                    f"SELECT {schema}.track_lifecycle_event(%s, %s::jsonb)".encode(), [EVENT[0], json.dumps(EVENT[1])]
                )

        async def published() -> bool:
            return await waiting(crm_url) == {"public": 0, "crm": 0}

        await eventually(published, saying="both are empty")
        environment = {
            "DATABASE_URL": crm_url,
            "OUTBOX_SCHEMA": "crm",
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        }
        doctor = await run("hubspot_consumer", "doctor", "--json", environment=environment)
        found = {finding["name"]: finding for finding in json.loads(doctor.output)["findings"]}
        assert [found[name]["level"] for name in ("database", "outbox", "relay")] == ["ok"] * 3
        assert found["relay"]["what"].endswith("1 standing by")
        await crm.kill()
        await eventually(lambda: _is(another, "active"), saying="the next one of crm takes over")
        assert await _is(first, "active")
    finally:
        await asyncio.gather(*(relay.kill() for relay in relays))


async def test_the_relays_of_both_sleep_and_each_is_woken_by_its_writers(crm_url: str) -> None:
    clock = SystemClock()
    async with (
        await Outbox.connect(lambda: crm_url, clock) as first,
        await Outbox.connect(lambda: in_schema(crm_url, "crm"), clock) as second,
        await psycopg.AsyncConnection.connect(crm_url, autocommit=True) as backend,
    ):
        assert await first.become_active()
        assert await second.become_active()
        assert await first.fall_asleep()
        assert await second.fall_asleep()
        await first.wake_up()

        await backend.execute("SELECT crm.track_lifecycle_event(%s, %s::jsonb)", [EVENT[0], json.dumps(EVENT[1])])

        assert [one async for one in second._reading.notifies(timeout=5, stop_after=1)]
        assert len(await second.head(10)) == 1
        assert await first.head(10) == []


async def test_rights_are_those_of_the_schema(crm_url: str) -> None:
    async with made(crm_url) as roles:
        names = ("--backend", roles.name(roles.backend), "--relay", roles.name(roles.relay))
        assert "crm.outbox_events" in (await commanded(crm_url, "crm", "grants", *names)).output.replace('"', "")
        await commanded(crm_url, "crm", "grants", *names, "--apply")

        async with await psycopg.AsyncConnection.connect(roles.backend, autocommit=True) as backend:
            await backend.execute("SELECT crm.track_lifecycle_event(%s, %s::jsonb)", [EVENT[0], json.dumps(EVENT[1])])
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await backend.execute("SELECT FROM crm.outbox_events")
    assert await waiting(crm_url) == {"public": 0, "crm": 1}


async def test_the_import_and_the_intake_use_the_schema_too(crm_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(crm_url, autocommit=True) as connection:
        await connection.execute(
            "CREATE TABLE public.old_outbox (id bigint PRIMARY KEY, event_type text, payload_json text,"
            " created_at timestamptz DEFAULT now(), processed_at timestamptz);"
        )
        await connection.execute(
            "INSERT INTO public.old_outbox (id, event_type, payload_json) VALUES (1, 'driver_signed_up', %s)",
            [json.dumps(EVENT[1])],
        )

    await commanded(crm_url, "crm", "import-outbox", "--table", "public.old_outbox", "--apply")

    assert await waiting(crm_url) == {"public": 0, "crm": 1}


@pytest.fixture(params=["transaction", "session"])
def pooler_url(request: pytest.FixtureRequest, tmp_path: Path, crm_url: str) -> Iterator[str]:
    """A pooler before both outboxes that passes over the options of connections."""
    with pooled(tmp_path / "pgbouncer", crm_url, mode=request.param, size=20) as url:
        yield url


async def test_behind_a_pooler_that_passes_over_options_nothing_reaches_the_other_outbox(
    pooler_url: str, crm_url: str
) -> None:
    for command in (["migrate"], ["import-outbox", "--apply"]):
        done = await run("producer", *command, environment={"DATABASE_URL": pooler_url, "OUTBOX_SCHEMA": "crm"})
        assert (done.code, "OUTBOX_SCHEMA does not reach the database" in done.errors) == (1, True), done
    url = in_schema(pooler_url, "crm")
    with pytest.raises(psycopg.OperationalError, match="OUTBOX_SCHEMA does not reach"):
        await session.connect(lambda: url, "a relay")
    with pytest.raises(OutboxAway):
        await ContactsOutbox(lambda: url).contact_of("usr_1")
    async with calling(url) as caller:
        answer = await caller.post()
    assert answer.status_code == 503

    assert await waiting(crm_url) == {"public": 0, "crm": 0}


async def test_a_name_that_is_no_schema_is_refused(database_url: str) -> None:
    done = await run("producer", "migrate", environment={"DATABASE_URL": database_url, "OUTBOX_SCHEMA": "a schema"})

    assert done.code == 2
    assert done.errors.startswith("OUTBOX_SCHEMA: ")
