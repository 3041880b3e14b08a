"""The outbox's database is restored, or a failover loses transactions: sequences come again, with other events."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg
import pytest

from hubspot_consumer.hubspot.requests import REMEMBERED_IDS
from sandbox.services import Service
from tests.commands import run
from tests.end_to_end.test_halts import halted
from tests.outbox.outbox import is_empty
from tests.outbox.standby import replicated_outbox
from tests.pipeline import Pipeline, running_pipeline
from tests.polling import eventually

pytestmark = pytest.mark.timeout(180)

EMAIL = "ada@example.com"
AT = "2026-11-24T03:00:00Z"


async def track(pipeline: Pipeline, *balances: int, email: str = EMAIL) -> list[str]:
    """Track an event of the contact for each balance, and return their ids."""
    payload = {"user_id": f"usr of {email}", "email": email, "amount_cents": 1, "session_id": "ses_1", "earned_at": AT}
    return await pipeline.track(*(("nova_earned", payload | {"new_balance_cents": balance}) for balance in balances))


async def track_all(pipeline: Pipeline, emails: list[str], *balances: int) -> list[str]:
    return [event_id for email in emails for event_id in await track(pipeline, *balances, email=email)]


async def copied(postgres: Any, name: str, template: str) -> None:
    async with await psycopg.AsyncConnection.connect(postgres.url, autocommit=True) as connection:
        await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")


async def restored(pipeline: Pipeline, postgres: Any, worker: Service, *lost: int) -> None:
    """Let the worker deliver two events, and one of each balance in *lost*, before which the database is set back."""
    database, backup = pipeline.database_url.rpartition("/")[2], "backup_of_a_restored_one"
    relay = pipeline.producer()
    await relay.launch_and_wait()
    await worker.launch_and_wait()
    await track(pipeline, 100, 200)
    await pipeline.until_arrived(2)
    await relay.stop()
    await copied(postgres, backup, database)
    await relay.launch_and_wait()
    await track(pipeline, *lost)
    await pipeline.until_arrived(2 + len(lost))
    await relay.stop()
    await copied(postgres, database, backup)
    await relay.launch_and_wait()


async def balance(pipeline: Pipeline, email: str = EMAIL) -> tuple[str, str]:
    """Return the contact's balance and sequence at HubSpot."""
    properties = (await pipeline.simulator.accepted()).contacts[email]["properties"]
    return properties["nerava_nova_balance_cents"], properties["nerava_event_sequence"]


async def is_balance(pipeline: Pipeline, expected: tuple[str, str]) -> bool:
    return await balance(pipeline) == expected


async def until_halted(worker: Service, limit: int, pipeline: Pipeline) -> None:
    """Return when the worker has halted because of reused sequences, with no more than *limit* events set aside."""
    halt = await halted(worker, "too_many_dead_letters")
    assert halt["detail"].startswith(f"{limit} events rejected within an hour; and now sequence_reused: ")
    assert "sequence_reused" in str((await worker.health())[1])
    assert len(await pipeline.dead_letters()) == limit


async def recover(pipeline: Pipeline) -> None:
    recovered = await run("producer", "recover", "--apply", environment=pipeline.environment)
    assert recovered.code == 0, recovered.errors


async def set_the_others_aside(pipeline: Pipeline, again: list[str]) -> None:
    """Let sending go on as a person does, and return when the events *again*, no others, are set aside."""
    for command in (["pause", "--note", "recovered"], ["resume"]):
        assert (await pipeline.run(*command)).code == 0
    dead = await pipeline.until_set_aside(len(again))
    assert {(each.id, each.reason) for each in dead} == {(event_id, "sequence_reused") for event_id in again}
    await pipeline.until_finished()


async def redrive(pipeline: Pipeline) -> None:
    redriven = await pipeline.run("redrive", "--reason", "sequence_reused", "--yes")
    assert redriven.code == 0, redriven.output + redriven.errors


async def audit(pipeline: Pipeline) -> None:
    audited = await pipeline.run("audit")
    assert audited.code == 0, audited.output


@pytest.mark.chaos
async def test_a_restored_database_halts_sending_and_its_events_take_effect_after_recover_and_redrive(
    pipeline: Pipeline, postgres: Any
) -> None:
    worker = pipeline.consumer(DEAD_LETTER_LIMIT="1")
    await restored(pipeline, postgres, worker, 300, 400, 500)

    again = await track(pipeline, 30, 40)

    await until_halted(worker, 1, pipeline)
    # A worker that begins now remembers nothing: it compares with the ids that HubSpot keeps.
    assert await worker.stop() == 0
    await worker.launch_and_wait()
    await recover(pipeline)
    await set_the_others_aside(pipeline, again)
    assert await balance(pipeline) == ("500", "5")
    await audit(pipeline)
    await redrive(pipeline)

    # They are the newest events, though their sequences are lower; the contact's sequence stays.
    assert await balance(pipeline) == ("40", "5")
    await audit(pipeline)
    await track(pipeline, 600)
    await eventually(lambda: is_balance(pipeline, ("600", "6")), saying="the next event continues where the topics end")
    await audit(pipeline)
    assert await pipeline.arrived() == 8, "every committed event is on the timeline"
    assert {each.id for each in await pipeline.dead_letters()} == set(again)


@pytest.mark.chaos
async def test_an_event_that_nobody_could_tell_from_a_repeat_is_counted_and_the_audit_finds_it(
    pipeline: Pipeline, postgres: Any
) -> None:
    lost = REMEMBERED_IDS + 4
    await restored(pipeline, postgres, pipeline.consumer(), *range(300, 300 + lost))

    again = await track(pipeline, 30)
    await pipeline.until_arrived(2 + lost + 1)
    assert await pipeline.dead_letters() == []
    # The audit compares only events that are acked.
    await pipeline.until_finished()

    found = await pipeline.run("audit")
    assert found.code == 1
    assert "an earlier event has the sequence 3 of " in found.output
    assert "1 contacts compared: 1 reused" in found.output
    assert json.loads((await pipeline.run("audit", "--json")).output)["reused"][0]["sequence"] == 3
    repaired = await pipeline.run("audit", "--repair", "--yes")
    assert repaired.code == 0, repaired.output + repaired.errors
    assert [(each.id, each.reason) for each in await pipeline.dead_letters()] == [(again[0], "sequence_reused")]
    await recover(pipeline)
    await redrive(pipeline)
    assert await balance(pipeline) == ("30", str(2 + lost))
    await audit(pipeline)


@pytest.mark.chaos
async def test_after_a_failover_that_lost_transactions_every_event_that_the_new_primary_has_takes_effect(
    tmp_path: Path, kafka: Any, topic_prefix: str
) -> None:
    old, new = [f"old{n}@example.com" for n in range(5)], [f"new{n}@example.com" for n in range(2)]
    async with (
        replicated_outbox(tmp_path) as database,
        running_pipeline(tmp_path, kafka, database.url, topic_prefix) as pipeline,
    ):
        relay, worker = pipeline.producer(), pipeline.consumer(DEAD_LETTER_LIMIT="10")
        await relay.launch_and_wait()
        await worker.launch_and_wait()
        await track_all(pipeline, old, 100)
        await pipeline.until_published()
        await relay.stop()
        await track_all(pipeline, old, 200)
        await database.cut()
        await track_all(pipeline, old + new, 300, 400, 500)
        await relay.launch_and_wait()
        await pipeline.until_arrived(5 * 5 + 2 * 3)

        await database.fail_over()
        # The standby still has the rows of 200, which are published once more, under their ids.
        await eventually(lambda: is_empty(pipeline.database_url), saying="the relay goes on by itself")
        again = await track_all(pipeline, old + new, 30, 40)

        await until_halted(worker, 10, pipeline)
        await recover(pipeline)
        await track_all(pipeline, old + new, 600)
        await set_the_others_aside(pipeline, again)
        await redrive(pipeline)

        await audit(pipeline)
        committed = (await pipeline.ledger()).events
        assert len(committed) == 5 * (1 + 1 + 2 + 1) + 2 * (2 + 1)
        entries = Counter(event_id for event_id, _ in (await pipeline.simulator.accepted()).entries)
        assert {event_id: entries[event_id] for event_id in committed} == dict.fromkeys(committed, 1)
        assert {await balance(pipeline, email) for email in old} == {("600", "6")}
        assert {await balance(pipeline, email) for email in new} == {("600", "4")}
