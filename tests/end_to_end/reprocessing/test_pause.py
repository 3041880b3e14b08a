"""A pause: nothing goes out of any worker, nothing is lost, and it goes on at once when somebody resumes."""

import asyncio
from typing import Any

import pytest

from sandbox.services import Service
from tests.pipeline import Pipeline
from tests.polling import eventually

pytestmark = pytest.mark.timeout(240)

NOTE = "an import runs for bob@example.com"
MASKED = "an import runs for b***@example.com"


async def paused(worker: Service) -> dict[str, Any]:
    """Return what the worker says, when it says that it is paused."""

    async def says() -> dict[str, Any] | None:
        halt: dict[str, Any] | None = (await worker.status()).get("halted")
        return halt if halt and halt["reason"] == "paused" else None

    found = await eventually(says, within_s=20, saying="the worker is paused")
    assert found is not None
    return found


async def calls(pipeline: Pipeline) -> int:
    made: int = (await pipeline.simulator.statistics())["calls"]
    return made


async def pause(pipeline: Pipeline) -> None:
    done = await pipeline.run("pause", "--note", NOTE, "--by", "ada")
    assert (done.code, done.errors) == (0, "")
    assert "sending was not paused\nsending paused in all workers" in done.output


async def test_a_pause_keeps_every_event_back_and_what_waits_goes_out_when_it_ends(pipeline: Pipeline) -> None:
    await pipeline.allow_many_calls()
    producer, worker = pipeline.producer(), pipeline.consumer()
    await asyncio.gather(producer.launch_and_wait(), worker.launch_and_wait())
    await pipeline.commit(100, seed=1)
    await pipeline.all_arrive(dead=1)

    dry = await pipeline.run("pause", "--note", NOTE, "--dry-run")
    assert "sending would be paused" in dry.output
    await pause(pipeline)
    halt = await paused(worker)
    assert (halt["detail"], halt["next_probe"], halt["behind"]) == (f"{MASKED} (ada)", None, None)
    before = await calls(pipeline)
    await pipeline.commit(300, seed=2)
    await pipeline.until_published()
    await eventually(lambda: reads_on(worker), saying="it reads on")
    # Long enough for a probe and a look-up.
    await asyncio.sleep(5)

    assert await calls(pipeline) == before
    assert [await worker.healthy(), await worker.live()] == [True, 200]
    assert (await worker.health())[1]["status"] == "halted"
    for command in (["replay", "--from-earliest", "--yes"], ["redrive", "--yes"]):
        refused = await pipeline.run(*command)
        assert refused.code == 1, refused
        assert f"by ada: {MASKED} (`python -m hubspot_consumer resume` ends the pause)" in refused.errors
    assert await calls(pipeline) == before
    assert await worker.stop() == 0
    await worker.launch_and_wait()
    await paused(worker)
    assert await calls(pipeline) == before, "one that starts in a pause asks HubSpot nothing"

    done = await pipeline.run("resume")
    assert f"by ada: {MASKED}\nsending resumed" in done.output
    await pipeline.all_arrive(dead=2, within_s=60)
    await eventually(worker.sending, saying="it sends")
    findings, dead = await pipeline.findings()
    assert not findings
    # What was behind an event that waits is set aside again after a restart.
    assert {letter.reason for letter in dead} == {"invalid_envelope"}
    assert len({letter.id for letter in dead}) == 2, "no event became a dead letter by the pause"
    assert (await pipeline.run("resume")).output == "sending was not paused\n"


async def reads_on(worker: Service) -> bool:
    events: int = (await worker.status())["in_flight"]["events"]
    return events >= 200


@pytest.mark.chaos
async def test_a_token_that_is_refused_in_a_pause_halts_when_the_pause_is_over_and_heals_as_ever(
    pipeline: Pipeline,
) -> None:
    producer, worker = pipeline.producer(), pipeline.consumer()
    await asyncio.gather(producer.launch_and_wait(), worker.launch_and_wait())
    refused = {"answer": {"kind": "status", "status": 401}}
    await pipeline.simulator.add_fault(refused)
    await pipeline.commit(50, seed=1)

    async def halted() -> bool:
        halt = (await worker.status())["halted"]
        return bool(halt) and halt["reason"] == "token_refused"

    await eventually(halted, saying="the token is refused")
    await pause(pipeline)
    assert (await paused(worker))["behind"]["reason"] == "token_refused"
    before = await calls(pipeline)
    await asyncio.sleep(6)
    assert await calls(pipeline) == before, "no probe goes out"

    await pipeline.run("resume")
    await eventually(halted, saying="the token is refused again")
    await pipeline.simulator.remove_faults()
    await pipeline.all_arrive(dead=1, within_s=90)

    findings, _ = await pipeline.findings()
    assert not findings
