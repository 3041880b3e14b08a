"""The outbox's database is restored under a running pipeline: its sequences come again, with other events."""

import json
from typing import Any

import psycopg
import pytest

from tests.commands import run
from tests.pipeline import Pipeline
from tests.polling import eventually

pytestmark = pytest.mark.timeout(180)

EMAIL = "ada@example.com"
AT = "2026-11-24T03:00:00Z"


async def track(pipeline: Pipeline, *balances: int) -> list[str]:
    """Track an event for each balance, and return their ids."""
    ids = []
    async with await pipeline.connect() as connection:
        for balance in balances:
            payload = {"user_id": "usr_1", "email": EMAIL, "amount_cents": 1, "session_id": "ses_1", "earned_at": AT}
            payload["new_balance_cents"] = balance
            row = await (
                await connection.execute(
                    "SELECT track_lifecycle_event('nova_earned', %s::jsonb)::text", [json.dumps(payload)]
                )
            ).fetchone()
            assert row is not None
            ids.append(row[0])
    return ids


async def copied(postgres: Any, name: str, template: str) -> None:
    async with await psycopg.AsyncConnection.connect(postgres.url, autocommit=True) as connection:
        await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")


async def balance(pipeline: Pipeline) -> tuple[str, str]:
    """Return the contact's balance and sequence at HubSpot."""
    properties = (await pipeline.simulator.accepted()).contacts[EMAIL]["properties"]
    return properties["nerava_nova_balance_cents"], properties["nerava_event_sequence"]


async def test_events_of_a_restored_database_are_set_aside_and_take_effect_after_recover_and_redrive(
    pipeline: Pipeline, postgres: Any
) -> None:
    database, backup = pipeline.database_url.rpartition("/")[2], "backup_of_a_restored_one"
    relay, worker = pipeline.producer(), pipeline.consumer()
    await relay.launch_and_wait()
    await worker.launch_and_wait()
    await track(pipeline, 100, 200)
    await pipeline.until_arrived(2)
    await relay.stop()
    await copied(postgres, backup, database)
    await relay.launch_and_wait()
    await track(pipeline, 300, 400, 500)
    await pipeline.until_arrived(5)
    await relay.stop()
    await copied(postgres, database, backup)
    await relay.launch_and_wait()

    again = await track(pipeline, 30, 40)

    dead = await pipeline.until_set_aside(2)
    assert {(each.id, each.reason) for each in dead} == {(event_id, "sequence_reused") for event_id in again}
    assert await balance(pipeline) == ("500", "5")
    assert (await pipeline.run("audit")).code == 0
    # A worker that begins now remembers nothing: it compares with the ids that HubSpot keeps.
    assert await worker.stop() == 0
    await worker.launch_and_wait()
    again += await track(pipeline, 50)
    assert {each.reason for each in await pipeline.until_set_aside(3)} == {"sequence_reused"}

    recovered = await run("producer", "recover", "--apply", environment=pipeline.environment)
    assert recovered.code == 0, recovered.errors
    redriven = await pipeline.run("redrive", "--yes")
    assert redriven.code == 0, redriven.output + redriven.errors

    # They are the newest events, though their sequences are lower; the contact's sequence stays.
    assert await balance(pipeline) == ("50", "5")
    assert (await pipeline.run("audit")).code == 0
    await track(pipeline, 600)
    await eventually(lambda: _is(pipeline, ("600", "6")), saying="the next event continues where the topics end")
    audited = await pipeline.run("audit")
    assert audited.code == 0, audited.output
    assert await pipeline.arrived() == 9, "every committed event is on the timeline"
    assert {each.id for each in await pipeline.dead_letters()} == set(again)


async def _is(pipeline: Pipeline, expected: tuple[str, str]) -> bool:
    return await balance(pipeline) == expected
