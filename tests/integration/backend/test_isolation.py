"""A database whose transactions are serializable by default: none of ours may make transactions of the backend fail."""

import json
from collections.abc import Awaitable, Callable

import psycopg
import pytest
from pydantic import SecretStr

from console.contacts.history import LATEST
from console.contacts.outbox import ContactsOutbox
from console.overview.backlog import ask_outbox
from hubspot_consumer.doctor.environment import DoctorSettings, Environment
from hubspot_consumer.doctor.examination import examine
from hubspot_consumer.doctor.outbox import OutboxChecks
from producer.recovery.contacts import compare, parked_events, waiting_rows
from producer.recovery.published import Contact
from producer.relay.outbox import Outbox
from runtime.clock import SystemClock
from schemas.contacts import ContactKey
from schemas.envelope import Totals
from tests.commands import run
from tests.outbox.intake import calling
from tests.outbox.old_outbox import ROWS, add, imported, make_table
from tests.samples import EMAIL, PAYLOADS

TRACK = "SELECT track_lifecycle_event('driver_signed_up', %s::jsonb)"
# What a serializable transaction has read, which is kept as long as another one that it overlapped with is open.
READ = "SELECT count(*) FROM pg_locks WHERE mode = 'SIReadLock' AND pid <> pg_backend_pid()"


async def relay(url: str) -> None:
    async with await Outbox.connect(lambda: url, SystemClock()) as outbox:
        assert await outbox.become_active()
        await outbox.raise_low_watermark()
        assert await outbox.head(10)
        await outbox.delete([1_000])
        assert await outbox.backlog(10)
        await outbox.beat()
        await outbox.forget()


async def doctor(url: str) -> None:
    settings = DoctorSettings(kafka_bootstrap_servers="127.0.0.1:1", database_url=SecretStr(url))
    await examine([OutboxChecks(Environment(settings)).checks()])


async def console(url: str) -> None:
    outbox = ContactsOutbox(lambda: url)
    await outbox.contact_of("usr_1")
    await outbox.of(ContactKey(EMAIL), LATEST, 50)
    await outbox.parked("usr_1", 50)
    await ask_outbox(url)


async def intake(url: str) -> None:
    async with calling(url) as caller:
        assert (await caller.post("merchant_contact_created")).status_code == 202
        await caller.intake.forget()


async def recovery(url: str) -> None:
    await waiting_rows(url)
    await parked_events(url)
    await compare(url, {ContactKey(EMAIL): Contact(9, Totals().model_dump())}, apply=True)


async def old_outbox(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("SET default_transaction_isolation = 'read committed'")
        make_table(db)
        add(db, ROWS[1:2])
    assert (await imported(url, "--apply")).code == 0


async def migration(url: str) -> None:
    assert (await run("producer", "migrate", environment={"DATABASE_URL": url})).code == 0


@pytest.fixture
async def serializable_url(database_url: str) -> str:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = serializable',"
            " current_database()); END $$"
        )
    return database_url


@pytest.mark.parametrize("ours", [relay, doctor, console, intake, recovery, old_outbox, migration])
async def test_no_transaction_of_ours_is_serializable_although_the_database_makes_them_so(
    ours: Callable[[str], Awaitable[None]], serializable_url: str, none_of_ours: None
) -> None:
    async with await psycopg.AsyncConnection.connect(serializable_url) as backend:
        await backend.execute(TRACK, [json.dumps(PAYLOADS["driver_signed_up"])])
        await backend.commit()
        # Begun before ours, and open until it was looked at.
        await backend.execute("SELECT count(*) FROM outbox_directory")

        await ours(serializable_url)

        found = await (await backend.execute(READ)).fetchone()
    assert found == (0,)
