"""Rows that somebody inserts by hand, with the rights of a backend: none of them stops the relay or is lost.

A line of the surface `outbox row` has the columns' values in `row`, as parts or numbers. `outcome` is `refused
SQLSTATE`, or `dead letter REASON`: the relay writes those with `unknown_event_type` and `too_large`, a worker the
others.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from runtime.kafka.topic_reader import TopicReader
from runtime.kafka.topics import partitions_of
from sandbox.services import Service
from sandbox.stack import create_topics
from schemas.envelope import UnreadableRecord, read_envelope
from schemas.topics import Topics
from tests.hostile.inputs import Input, inputs_of, text
from tests.outbox.outbox import is_empty
from tests.outbox.relays import relay_of
from tests.polling import eventually

COLUMNS = ("position", "aggregateid", "type", "sequence", "payload", "traceparent", "created_at")
TRACK = """
SELECT track_lifecycle_event('wallet_pass_installed', '{
    "user_id": "usr_1", "email": "ada@example.com", "pass_type": "apple", "installed_at": "2026-11-24T03:00:00Z"}')
"""


@pytest.fixture
async def relay(tmp_path: Path, database_url: str, kafka: Any, topic_prefix: str) -> AsyncIterator[Service]:
    await create_topics(kafka.bootstrap_servers, Topics(topic_prefix), 1)
    service = relay_of(tmp_path, database_url, kafka, topic_prefix)
    yield service
    await service.kill()


async def test_a_row_that_was_inserted_by_hand_is_refused_or_becomes_a_dead_letter_and_stops_nothing(
    relay: Service, database_url: str, kafka: Any, topic_prefix: str
) -> None:
    rows, refused = {str(uuid4()): row for row in inputs_of("outbox row")}, dict[str, str]()
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as db:
        await db.execute("CREATE ROLE hand_made; GRANT INSERT ON outbox_events TO hand_made; SET ROLE hand_made")
        for row_id, row in rows.items():
            try:
                await _insert(db, row_id, row)
            except psycopg.Error as error:
                refused[row_id] = f"refused {error.sqlstate}"
        await db.execute("RESET ROLE; DROP OWNED BY hand_made; DROP ROLE hand_made")
        await relay.launch_and_wait()
        await eventually(lambda: is_empty(database_url), saying="every row is published")
        # One that comes when the relay has met all of those.
        [event_id] = await (await db.execute(TRACK)).fetchone() or [None]

    await eventually(lambda: is_empty(database_url), saying="the event behind them is published")
    found = {**refused, **await _found(kafka, Topics(topic_prefix))}

    assert found.pop(str(event_id)) == "readable"
    assert {rows[row_id].name: outcome for row_id, outcome in found.items()} == {
        row.name: row.outcome for row in rows.values()
    }
    assert (await relay.health())[0] == 200


async def _insert(db: psycopg.AsyncConnection[Any], row_id: str, row: Input) -> None:
    made: dict[str, Any] = {"id": row_id, **{name: row["row"].get(name) for name in COLUMNS if name in row["row"]}}
    values = [value if value is None or isinstance(value, int) else text(value) for value in made.values()]
    query = f"INSERT INTO outbox_events ({', '.join(made)}) VALUES ({', '.join(['%s'] * len(made))})"
    await db.execute(query.encode(), values)


async def _found(kafka: Any, topics: Topics) -> dict[str, str]:
    """Return what each record is to its reader, by the id of its row."""
    options = {"bootstrap_servers": kafka.bootstrap_servers}
    async with TopicReader(options) as reader:
        partitions = await partitions_of(options, topics.published)
        reader.read_from(await reader.starts(partitions))
        ends = await reader.ends(partitions)
        return {dict(record.headers)["id"].decode(): _outcome(record) async for record in reader.records_to(ends)}


def _outcome(record: Any) -> str:
    if reason := dict(record.headers).get("dead_letter.reason"):
        return f"dead letter {reason.decode()}"
    try:
        read_envelope(record.key, record.value)
    except UnreadableRecord as unreadable:
        # A worker makes it a dead letter with this reason.
        return f"dead letter {unreadable.reason}"
    return "readable"
