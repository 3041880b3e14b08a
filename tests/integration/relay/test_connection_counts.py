"""How many connections a producer has to PostgreSQL: as many as docs/postgresql.md says, for whoever sizes a pool."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg

from sandbox.stack import create_topics
from schemas.topics import Topics
from tests.integration.relay.test_refusals import sent_to
from tests.outbox.intake import TOKEN
from tests.outbox.relays import relay_of
from tests.polling import eventually

# Two of the watch's looks, which it makes every three seconds. Each is so short that it may not be seen.
SEEN_FOR_S = 7.0
CONNECTIONS = """
SELECT application_name FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


async def test_a_producer_with_an_intake_has_eight_connections_at_most_and_one_that_stands_by_has_one_of_its_own(
    tmp_path: Path, database_url: str, kafka: Any, topic_prefix: str
) -> None:
    await create_topics(kafka.bootstrap_servers, Topics(topic_prefix), 3)
    (tmp_path / "standby").mkdir()
    active = relay_of(tmp_path, database_url, kafka, topic_prefix, PRODUCER_INTAKE_TOKEN=TOKEN)
    standby = relay_of(tmp_path / "standby", database_url, kafka, topic_prefix)
    seen: list[Counter[str]] = []

    async def count(for_s: float, *, until_seen: str) -> None:
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
            begun = asyncio.get_running_loop().time()

            async def enough() -> bool:
                rows = await (await connection.execute(CONNECTIONS)).fetchall()
                seen.append(Counter(name for (name,) in rows))
                return asyncio.get_running_loop().time() > begun + for_s and any(one[until_seen] for one in seen)

            await eventually(enough, every_s=0.01, saying=f"{until_seen} is connected for a moment")

    try:
        await active.launch_and_wait()
        counting = asyncio.create_task(count(SEEN_FOR_S, until_seen="nerava-relay-watch"))
        answers = await asyncio.gather(*(sent_to(active, f"key-{number}") for number in range(24)))
        await counting
        assert {code for code, _ in answers} == {202}
        assert max(counted.total() for counted in seen) <= 8
        assert max(counted["nerava-intake"] for counted in seen) in range(2, 6)
        assert {counted["nerava-relay"] for counted in seen} == {1}
        assert {counted["nerava-relay-deletes"] for counted in seen} == {1}
        assert {counted["nerava-relay-watch"] for counted in seen} == {0, 1}

        await standby.launch_and_wait()
        seen.clear()
        await count(1.0, until_seen="nerava-relay")
        assert min(counted["nerava-relay"] for counted in seen) == max(counted["nerava-relay"] for counted in seen) == 2
        assert max(counted["nerava-relay-deletes"] for counted in seen) == 1
    finally:
        await active.kill()
        await standby.kill()
