"""`python -m producer recover` after a real restore: the outbox continues where the topics end, nothing is lowered."""

import asyncio
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete
from sqlalchemy import make_url

from producer.recovery import contacts, published
from producer.recovery.published import Contact, read_published
from producer.relay.outbox import Outbox as RelaysOutbox
from producer.relay.relay import Relay
from producer.relay.sender import Sender
from producer.telemetry import Telemetry
from runtime.clock import SystemClock
from runtime.endings import CannotGoOn
from runtime.health import Health
from runtime.kafka.topic_reader import TopicReader
from runtime.kafka.topics import admin_client, partition_of
from sandbox.stack import create_topics
from schemas.contacts import ContactKey
from schemas.topics import Topics
from tests.commands import Done, run
from tests.foreign.pgbouncer import pooled
from tests.outbox.outbox import is_empty
from tests.polling import eventually
from tests.samples import EMAIL, PAYLOADS

TRACK = "SELECT track_lifecycle_event(%s, %s::jsonb)"
PARTITIONS = 3
ADA = ("nova_earned", "usr_1", 100)


@dataclass
class Outbox:
    """An outbox, its relay, and a backup of its database."""

    url: str
    environment: dict[str, str]
    options: dict[str, Any]
    topics: Topics

    async def track(self, *events: tuple[str, str, int]) -> None:
        """Track events by type, user and cents; a signup has the user's email."""
        async with await psycopg.AsyncConnection.connect(self.url) as db:
            for event_type, user, cents in events:
                own = {"user_id": user, "amount_cents": cents}
                email = {"email": EMAIL if user == "usr_1" else f"{user}@example.com"}
                more = email if event_type == "driver_signed_up" else {}
                await db.execute(TRACK, [event_type, json.dumps({**PAYLOADS[event_type], **own, **more})])

    async def publish(self) -> None:
        """Let a relay empty the outbox."""
        stop, telemetry = asyncio.Event(), Telemetry()
        relay = Relay(
            lambda: RelaysOutbox.connect(self.url, SystemClock()),
            Sender(self.options, self.topics, SystemClock(), telemetry),
            health=Health(),
            telemetry=telemetry,
            jitter=random.Random(1),
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(relay.run(stop))
            await eventually(lambda: is_empty(self.url), saying="the outbox is empty")
            stop.set()

    async def back_up(self) -> None:
        await self._administer("CREATE DATABASE {name}_backup TEMPLATE {name}")

    async def restore(self) -> None:
        await self._administer("DROP DATABASE {name} WITH (FORCE)", "ALTER DATABASE {name}_backup RENAME TO {name}")

    async def contacts(self) -> dict[str, tuple[Any, ...]]:
        """Return user, sequence, and cents earned and redeemed of each contact."""
        query = "SELECT contact_key, external_id, sequence, totals FROM outbox_contacts"
        return {
            key: (user, sequence, totals["nova_earned_cents"], totals["nova_redeemed_cents"])
            for key, user, sequence, totals in await self.asked(query)
        }

    async def asked(self, query: str) -> list[Any]:
        async with await psycopg.AsyncConnection.connect(self.url) as db:
            return await (await db.execute(query.encode())).fetchall()

    async def recover(self, *options: str, **environment: str) -> Done:
        done = await run("producer", "recover", *options, environment=self.environment | environment)
        assert "Traceback" not in done.errors, done.errors
        assert EMAIL not in done.output
        return done

    async def _administer(self, *statements: str) -> None:
        url = make_url(self.url)
        server = url.set(database="postgres").render_as_string(hide_password=False)
        async with await psycopg.AsyncConnection.connect(server, autocommit=True) as db:
            for statement in statements:
                await db.execute(statement.format(name=url.database).encode())


@pytest.fixture
async def outbox(kafka: Any, database_url: str, topic_prefix: str) -> Outbox:
    topics = Topics(topic_prefix)
    await create_topics(kafka.bootstrap_servers, topics, PARTITIONS)
    environment = {
        "DATABASE_URL": database_url,
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": topic_prefix,
    }
    return Outbox(database_url, environment, {"bootstrap_servers": kafka.bootstrap_servers}, topics)


@pytest.fixture
async def restored(outbox: Outbox) -> Outbox:
    """An outbox that was restored: Ada is at 2 with 100 cents, and on Kafka at 5 with 400; Grace is on Kafka alone."""
    await outbox.track(("driver_signed_up", "usr_1", 0), ADA)
    await outbox.publish()
    await outbox.back_up()
    await outbox.track(ADA, ADA, ADA, ("driver_signed_up", "grace", 0), ("nova_redeemed", "grace", 7))
    await outbox.publish()
    await outbox.restore()
    return outbox


RESTORED = {EMAIL: ("usr_1", 2, 100, 0)}
RECOVERED = {EMAIL: ("usr_1", 5, 400, 0), "grace@example.com": (None, 2, 0, 7)}


async def test_recover_first_shows_and_then_raises_what_the_restored_database_is_behind_of(restored: Outbox) -> None:
    shown = await restored.recover()

    assert shown.code == 0, shown.errors
    lines = shown.output.splitlines()
    assert lines[0] == "7 records read, of 24 partitions to their ends"
    assert lines[1] == "2 contacts on the topics: the database lacks 1, and is behind of 1"
    assert lines[2] == "2 of them have other totals on the topics:"
    assert lines[3].startswith("  a***@example.com (")
    assert lines[3].endswith("): sequence 2 -> 5, nova_earned_cents 100 -> 400")
    assert lines[4].endswith("): sequence none -> 2, nova_redeemed_cents 0 -> 7")
    assert lines[5:] == ["nothing was written: --apply raises the sequences and totals"]
    assert await restored.contacts() == RESTORED

    applied = await restored.recover("--apply")

    assert applied.output.splitlines() == [
        *lines[:5],
        "2 contacts raised: their next events continue where the topics end",
    ]
    assert await restored.contacts() == RECOVERED


async def test_after_recover_the_next_events_have_the_next_sequences_and_no_total_lacks_what_was_published(
    restored: Outbox,
) -> None:
    await restored.recover("--apply")

    await restored.track(ADA, ("driver_signed_up", "grace", 0))

    found = await restored.asked("SELECT aggregateid, sequence, payload -> 'totals' FROM outbox_events ORDER BY 1")
    assert [row[:2] for row in found] == [(EMAIL, 6), ("grace@example.com", 3)]
    assert [row[2]["nova_earned_cents"] for row in found] == [500, 0]


async def test_recover_changes_nothing_the_second_time(restored: Outbox) -> None:
    await restored.recover("--apply")
    rows = "SELECT xmin::text, * FROM outbox_contacts ORDER BY contact_key"
    before = await restored.asked(rows)

    again = await restored.recover("--apply")

    assert again.code == 0
    assert "the database lacks 0, and is behind of 0" in again.output
    assert again.output.splitlines()[-1] == "nothing to write: the database is behind of no contact"
    assert await restored.asked(rows) == before


async def test_recover_lowers_neither_a_sequence_nor_a_total(outbox: Outbox) -> None:
    await outbox.track(("driver_signed_up", "usr_1", 0), ADA, ("driver_signed_up", "grace", 0))
    await outbox.publish()
    await outbox.track(ADA, ADA, ("nova_redeemed", "usr_1", 30))
    await outbox.asked("UPDATE outbox_contacts SET sequence = 0 WHERE contact_key LIKE 'g%' RETURNING 1")

    await outbox.recover("--apply")

    contacts = await outbox.contacts()
    assert contacts == {EMAIL: ("usr_1", 5, 300, 30), "grace@example.com": ("grace", 1, 0, 0)}


async def test_a_total_is_raised_where_the_restored_database_has_given_the_sequences_again(restored: Outbox) -> None:
    await restored.track(("nova_earned", "usr_1", 1), *[("nova_redeemed", "usr_1", 2)] * 3)

    await restored.recover("--apply")

    assert (await restored.contacts())[EMAIL] == ("usr_1", 6, 400, 6)


async def test_recover_counts_the_unpublished_rows_that_reuse_a_sequence_and_not_those_that_kafka_has(
    outbox: Outbox,
) -> None:
    await outbox.track(("driver_signed_up", "usr_1", 0))
    # The backup has this row still, with the id that it has on Kafka.
    await outbox.back_up()
    await outbox.publish()
    await outbox.track(ADA, ADA, ADA)
    await outbox.publish()
    await outbox.restore()
    assert "reuse" not in (await outbox.recover()).output

    await outbox.track(ADA, ("driver_signed_up", "grace", 0), ADA, ADA, ADA)

    done = await outbox.recover()
    assert "3 unpublished rows reuse a sequence: workers will make them dead letters (sequence_reused)" in done.output


async def test_recover_refuses_while_a_topic_is_missing(restored: Outbox) -> None:
    gone = restored.topics.dead_letters
    async with admin_client(restored.options) as admin:
        await admin.delete_topics([gone])

    done = await restored.recover("--apply")

    assert (done.code, done.output) == (1, "")
    assert f"there is no topic {gone}" in done.errors
    assert await restored.contacts() == RESTORED


async def test_recover_refuses_where_kafka_does_not_answer(restored: Outbox) -> None:
    done = await restored.recover("--apply", KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")

    assert (done.code, done.output) == (1, "")
    assert "KAFKA_BOOTSTRAP_SERVERS: no broker answers at 127.0.0.1:1" in done.errors
    assert await restored.contacts() == RESTORED


async def test_recover_refuses_where_kafka_does_not_give_the_records(
    restored: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(reader: TopicReader) -> Any:
        await asyncio.sleep(0.01)
        return {}, reader.positions

    monkeypatch.setattr(TopicReader, "fetch", nothing)
    monkeypatch.setattr(published, "NOTHING_FOR_S", 0.2)

    with pytest.raises(CannotGoOn, match=r"not read to their ends: .*nova_earned-\d.*Nothing was written"):
        await read_published(restored.options, restored.topics, {}, lambda _done, _total: None)


async def test_recover_says_which_partitions_retention_has_cut_off(restored: Outbox) -> None:
    topic = restored.topics.of("nova_earned")
    async with admin_client(restored.options) as admin:
        await admin.delete_records({TopicPartition(topic, partition_of(EMAIL, PARTITIONS)): RecordsToDelete(1)})

    done = await restored.recover("--apply")

    assert done.output.splitlines()[0] == "6 records read, of 24 partitions to their ends"
    assert "retention has deleted the first records of 1 partitions:\n" in done.output
    assert f"\n  {topic} {partition_of(EMAIL, PARTITIONS)}\n" in done.output
    assert "those that are not empty have all records since 20" in done.output
    assert await restored.contacts() == RECOVERED


@pytest.fixture
def pooler_url(tmp_path: Path, database_url: str) -> Iterator[str]:
    with pooled(tmp_path / "pgbouncer", database_url) as url:
        yield url


async def test_recover_works_through_a_pooler_in_transaction_mode(
    pooler_url: str, restored: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contacts, "AT_ONCE", 1)
    many = {ContactKey(f"{number}@example.com"): Contact(1, {}) for number in range(10)}
    for _ in range(2):
        await contacts.compare(pooler_url, many, apply=True)

    done = await restored.recover("--apply", DATABASE_URL=pooler_url)

    assert done.code == 0, done.errors
    assert (await restored.contacts())[EMAIL] == RECOVERED[EMAIL]


async def test_recover_names_a_database_without_an_outbox(outbox: Outbox, empty_database_url: str) -> None:
    done = await outbox.recover(DATABASE_URL=empty_database_url)

    assert (done.code, done.output) == (1, "")
    assert "DATABASE_URL: the database has no outbox: run `python -m producer migrate`" in done.errors


async def test_recover_does_not_keep_the_backend_waiting_behind_an_open_transaction(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contacts, "LOCK", contacts.LOCK.replace("10s", "100ms"))
    async with await psycopg.AsyncConnection.connect(database_url) as backend:
        await backend.execute(TRACK, ["driver_signed_up", json.dumps(PAYLOADS["driver_signed_up"])])

        with pytest.raises(psycopg.errors.LockNotAvailable):
            await contacts.compare(database_url, {ContactKey(EMAIL): Contact(5, {})}, apply=True)
