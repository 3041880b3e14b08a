"""An event that the mapping fails for: a dead letter, skipped by whoever applies events again, redriven once mended."""

import asyncio
import json
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from producer import track_event
from sandbox.services import Service
from tests.commands import Done, run
from tests.pipeline import Pipeline
from tests.samples import EMAIL, PAYLOADS
from tests.workers.broken_mapping import BAD_SESSION

pytestmark = pytest.mark.timeout(240)

BROKEN = "tests.workers.broken_mapping"


@pytest.mark.chaos
async def test_it_costs_itself_alone_and_ends_neither_a_worker_nor_a_run(
    pipeline: Pipeline, engine: Engine, tmp_path: Path
) -> None:
    async def broken(*arguments: str) -> Done:
        return await run(BROKEN, *arguments, environment=pipeline.environment)

    worker = Service(
        "broken", [BROKEN, "worker"], tmp_path, pipeline.environment, pipeline.environment["CONSUMER_PORT"]
    )
    earned = PAYLOADS["nova_earned"]
    with Session(engine) as db:
        track_event(db, "driver_signed_up", PAYLOADS["driver_signed_up"])
        bad = str(track_event(db, "nova_earned", earned | {"session_id": BAD_SESSION, "new_balance_cents": 700}))
        track_event(db, "wallet_pass_installed", PAYLOADS["wallet_pass_installed"])
        track_event(db, "nova_earned", earned)
        db.commit()
    try:
        await asyncio.gather(pipeline.producer().launch_and_wait(), worker.launch_and_wait())
        await pipeline.until_arrived(3)
        [dead] = await pipeline.until_set_aside(1)
        assert (dead.id, dead.reason) == (bad, "mapping_failed")
        assert dead.detail.startswith("nova_earned: RuntimeError (broken_mapping.py, line ")
        assert await worker.healthy()
        assert (await worker.status())["dead_letters"] == {"mapping_failed": 1}
        await pipeline.until_finished()

        planned = await broken("replay", "--from-earliest", "--dry-run", "--json", "--folder", str(tmp_path))
        replayed = await broken("replay", "--from-earliest", "--yes", "--json", "--folder", str(tmp_path))
        synced = await broken("resync", EMAIL)
        audited = await broken("audit", "--json")
        tried = await broken("redrive", "--dry-run", "--json")
        redriven = await broken("redrive", "--yes", "--json")
    finally:
        await worker.stop()

    plan = json.loads(planned.output)["plan"]
    assert (planned.code, plan["events"], plan["unmapped"]) == (0, 3, 1)
    [example] = plan["unmapped_examples"]
    assert example.startswith(f"{bad}: nova_earned: RuntimeError (")
    report = json.loads(replayed.output)
    assert (replayed.code, report["contacts_written"], report["plan"]["unmapped"]) == (1, 1, 1)
    assert [(one["reason"], one["event_id"]) for one in report["refused"]] == [("mapping_failed", bad)]
    assert synced.code == 1
    assert "1 events that can't be mapped are skipped" in synced.output
    assert "refused: nova_earned: nova_earned: RuntimeError (" in synced.output
    # The dead letter is no difference.
    assert (audited.code, json.loads(audited.output)["differences"]) == (0, [])
    [still] = json.loads(tried.output)["plan"]["unreadable"]
    assert (tried.code, still["reason"]) == (0, "mapping_failed")
    assert redriven.code == 1
    assert [(one["state"], one["reason"]) for one in json.loads(redriven.output)["letters"]] == [
        ("dead", "mapping_failed")
    ]

    mended = await pipeline.run("redrive", "--yes")
    clean = await pipeline.run("audit")
    assert (mended.code, clean.code) == (0, 0), mended.output + clean.output
    assert await pipeline.arrived() == 4
