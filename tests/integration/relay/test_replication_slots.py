"""Real replication slots that nobody reads, as the doctor finds them. Those that Debezium reads: test_debezium.py."""

import asyncio
from pathlib import Path

import psycopg

from producer.migrations import migrate
from sandbox.postgres import EmbeddedPostgres
from tests.foreign.debezium import findings_of

SLOT = "SELECT pg_create_logical_replication_slot('lifecycle_outbox', 'pgoutput')"
PUBLICATION = "CREATE PUBLICATION lifecycle_outbox FOR TABLE outbox_events WITH (publish = 'insert')"
KEEP_LITTLE = "ALTER SYSTEM SET max_slot_wal_keep_size = '16MB'"
A_SEGMENT = "SELECT pg_logical_emit_message(true, 'filler', ''), pg_switch_wal()"
STATUS = "SELECT wal_status FROM pg_replication_slots"


async def test_the_doctor_sees_a_slot_pile_up_the_log_and_lose_it(tmp_path: Path) -> None:
    async with EmbeddedPostgres(tmp_path / "postgres") as postgres:
        await asyncio.to_thread(migrate, postgres.url)
        async with await psycopg.AsyncConnection.connect(postgres.url, autocommit=True) as connection:
            for statement in (PUBLICATION, SLOT, A_SEGMENT):
                await connection.execute(statement)
            unread = await findings_of(postgres.url)
            await connection.execute(KEEP_LITTLE)
            await connection.execute("SELECT pg_reload_conf()")
            for _ in range(5):
                await connection.execute(A_SEGMENT)
            leaving = await findings_of(postgres.url)
            await connection.execute("CHECKPOINT")
            lost = await findings_of(postgres.url)

    found = [findings["replication_slot"] for findings in (unread, leaving, lost)]
    assert [finding["level"] for finding in found] == ["fail"] * 3
    words = (
        "lifecycle_outbox is not read, keeps ",
        "may delete log that it has to read",
        "has deleted log that it had to read",
    )
    assert [word for word, finding in zip(words, found, strict=True) if word not in finding["what"]] == []
    assert lost["relay"]["level"] == "fail"
