"""`python -m producer recover` after a real restore: the outbox continues where the topics end, nothing is lowered."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete

from producer.recovery import contacts, topics
from producer.recovery.published import Contact
from runtime.endings import CannotGoOn
from runtime.kafka.topic_reader import TopicReader
from runtime.kafka.topics import admin_client, partition_of
from schemas.contacts import ContactKey
from tests.foreign.pgbouncer import pooled
from tests.outbox.restored import PARTITIONS, TRACK, Outbox, outbox_of
from tests.samples import EMAIL, PAYLOADS

ADA = ("nova_earned", "usr_1", 100)


@pytest.fixture
async def outbox(kafka: Any, database_url: str, topic_prefix: str) -> Outbox:
    return await outbox_of(kafka, database_url, topic_prefix)


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
    assert lines[1] == "2 contacts on the topics: the database lacks 1, and is behind on 1"
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
    assert "the database lacks 0, and is behind on 0" in again.output
    assert again.output.splitlines()[-1] == "nothing to write: the database is behind on no contact"
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


async def test_recover_deletes_the_parked_events_that_kafka_has(outbox: Outbox) -> None:
    await outbox.track(ADA, ADA, ("nova_earned", "grace", 7))
    await outbox.back_up()
    await outbox.track(("driver_signed_up", "usr_1", 0))
    await outbox.publish()
    await outbox.restore()

    shown = await outbox.recover()

    assert "\n2 parked events were published before the restore: the next signup would track" in shown.output
    last = "nothing was written: --apply raises the sequences and totals and deletes these parked events"
    assert shown.output.splitlines()[-1] == last
    assert await outbox.asked("SELECT count(*) FROM outbox_parked") == [(3,)]

    applied = await outbox.recover("--apply")

    assert "\n1 contacts raised, 2 parked events deleted: their next events continue" in applied.output
    assert await outbox.asked("SELECT external_id FROM outbox_parked") == [("grace",)]
    assert "nothing to write" in (await outbox.recover("--apply")).output
    await outbox.track(("driver_signed_up", "usr_1", 0))
    assert await outbox.asked("SELECT sequence FROM outbox_events") == [(4,)]
    assert await outbox.contacts() == {EMAIL: ("usr_1", 4, 200, 0)}


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
    monkeypatch.setattr(topics, "NOTHING_FOR_S", 0.2)

    with pytest.raises(CannotGoOn, match=r"not read to their ends: .*nova_earned-\d.*Nothing was written"):
        await topics.read_topics(restored.options, restored.topics.published, print, lambda _done, _total: None)


async def test_recover_says_which_partitions_retention_has_cut_off(restored: Outbox) -> None:
    topic = restored.topics.of("nova_earned")
    async with admin_client(restored.options) as admin:
        await admin.delete_records({TopicPartition(topic, partition_of(EMAIL, PARTITIONS)): RecordsToDelete(1)})

    done = await restored.recover("--apply")

    assert done.output.splitlines()[0] == "6 records read, of 24 partitions to their ends"
    assert "retention has deleted the first records of 1 partitions:\n" in done.output
    assert f"\n  {topic} {partition_of(EMAIL, PARTITIONS)}\n" in done.output
    assert "those that are not empty have all records since 20" in done.output
    assert "UTC: enough if the backup is newer than that\n" in done.output
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
    assert "DATABASE_URL: the database has no outbox, or an old one: run `python -m producer migrate`" in done.errors


async def test_recover_does_not_keep_the_backend_waiting_behind_an_open_transaction(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contacts, "LOCK", contacts.LOCK.replace("10s", "100ms"))
    async with await psycopg.AsyncConnection.connect(database_url) as backend:
        await backend.execute(TRACK, ["driver_signed_up", json.dumps(PAYLOADS["driver_signed_up"])])

        with pytest.raises(psycopg.errors.LockNotAvailable):
            await contacts.compare(database_url, {ContactKey(EMAIL): Contact(5, {})}, apply=True)


async def test_recover_locks_nothing_where_it_has_nothing_to_write(database_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(database_url) as backend:
        await backend.execute(TRACK, ["driver_signed_up", json.dumps(PAYLOADS["driver_signed_up"])])
        await backend.commit()
        await backend.execute(TRACK, ["nova_earned", json.dumps(PAYLOADS["nova_earned"])])

        assert await contacts.compare(database_url, {ContactKey(EMAIL): Contact(1, {})}, apply=True) == []
