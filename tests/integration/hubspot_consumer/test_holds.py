"""Holds between a run and real workers, over real Kafka: who is held waits, everybody else goes on."""

import asyncio
import json

import pytest

from hubspot_consumer.holds.hold import TakenOver
from hubspot_consumer.holds.records import HoldAnswered
from hubspot_consumer.holds.run import AnotherRun
from schemas.contacts import ContactKey
from tests.kafka.holding import (
    ADA,
    GRACE,
    begin_and_be_killed,
    holding_of,
    phone_of,
    said,
    started,
    track,
    until_held,
    until_phone,
)
from tests.pipeline import Pipeline
from tests.polling import eventually

pytestmark = pytest.mark.timeout(240)


async def test_a_held_contact_waits_and_others_go_on_and_it_goes_on_from_what_was_written(pipeline: Pipeline) -> None:
    worker = pipeline.consumer()
    await asyncio.gather(pipeline.producer().launch_and_wait(), worker.launch_and_wait())
    await track(pipeline, ADA, "1")
    await until_phone(pipeline, ADA, "1")

    async with started(pipeline, "run-1") as holding:
        assert (await worker.status())["quota"]["share"] == 0.5
        async with holding.hold([ADA]) as hold:
            assert 50 < hold.time_left_s <= 60
            for number in "234":
                await track(pipeline, ADA, number)
            await track(pipeline, GRACE, "1")
            await until_phone(pipeline, GRACE, "1")
            await until_held(worker, 1)
            assert await phone_of(pipeline, ADA) == "1"
            assert (await worker.status())["reprocessing"] == {
                "run": "run-1",
                "command": "replay",
                "quota_share": 0.5,
                "contacts_held": 1,
            }
            # As if the run had brought the contact to its third event.
            hold.written(ADA, 3, None)
        await until_phone(pipeline, ADA, "4")
    await pipeline.until_arrived(5)

    assert len(await pipeline.simulator.timeline_of(ADA)) == 4
    status = await worker.status()
    assert status["reprocessing"] is None
    assert status["quota"]["share"] == 1.0
    assert ADA not in json.dumps(status)
    assert ADA not in worker.log.read_text()


async def test_a_hold_takes_milliseconds(pipeline: Pipeline) -> None:
    await pipeline.consumer().launch_and_wait()
    loop, took = asyncio.get_running_loop(), list[float]()
    async with started(pipeline) as holding:
        for number in range(40):
            begun = loop.time()
            async with holding.hold([ContactKey(f"c{number}@example.com")]):
                took.append(loop.time() - begun)
    took.sort()
    assert took[20] < 0.1


async def test_without_any_worker_a_hold_is_entered_and_one_that_starts_then_obeys_it(pipeline: Pipeline) -> None:
    await pipeline.producer().launch_and_wait()
    await track(pipeline, ADA, "1")
    await track(pipeline, GRACE, "1")
    await pipeline.until_published()
    worker = pipeline.consumer()

    async with started(pipeline) as holding:
        async with holding.hold([ADA]):
            await worker.launch_and_wait()
            await until_phone(pipeline, GRACE, "1")
            await until_held(worker, 1)
            assert await phone_of(pipeline, ADA) is None
        await until_phone(pipeline, ADA, "1")


async def test_when_a_run_is_killed_its_contacts_go_on_after_its_time(pipeline: Pipeline) -> None:
    worker = pipeline.consumer()
    await asyncio.gather(pipeline.producer().launch_and_wait(), worker.launch_and_wait())
    await track(pipeline, ADA, "1")
    await until_phone(pipeline, ADA, "1")
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await begin_and_be_killed(pipeline, ADA, for_s=8)

    async def obeys() -> bool:
        return bool((await worker.status())["reprocessing"])

    await eventually(obeys, saying="the worker obeys")
    await track(pipeline, ADA, "2")
    await until_held(worker, 1)
    await until_phone(pipeline, ADA, "2")

    assert loop.time() - begun >= 8
    assert (await worker.status())["reprocessing"] is None
    assert (await worker.status())["quota"]["share"] == 1.0


async def test_another_run_is_refused_and_says_which_one_is_active(pipeline: Pipeline) -> None:
    async with started(pipeline):
        second = holding_of(pipeline)
        with pytest.raises(AnotherRun, match="another run is active: replay, last heard at"):
            await second.start()

    async with started(pipeline):
        pass


async def test_of_two_runs_that_start_at_once_one_goes_on(pipeline: Pipeline) -> None:
    both = [holding_of(pipeline) for _ in range(2)]
    came = await asyncio.gather(*(one.start() for one in both), return_exceptions=True)

    assert sorted(type(one).__name__ for one in came) == ["AnotherRun", "NoneType"]
    await asyncio.gather(*(one.stop() for one in both))


async def test_a_run_that_was_killed_is_gone_on_with_at_once_and_holds_nothing_of_before(pipeline: Pipeline) -> None:
    worker = pipeline.consumer()
    await asyncio.gather(pipeline.producer().launch_and_wait(), worker.launch_and_wait())
    old = holding_of(pipeline, "run-1")
    await old.start()
    # Kept, for it is released with the last reference to it.
    entering = old.hold([ADA])
    entered = await entering.__aenter__()
    await track(pipeline, ADA, "1")
    await until_held(worker, 1)

    async with started(pipeline, "run-1") as new:
        await until_phone(pipeline, ADA, "1")
        async with new.hold([GRACE]):
            assert entered.time_left_s == 0
            with pytest.raises(TakenOver):
                async with old.hold([ADA]):
                    pass
        with pytest.raises(TakenOver):
            await entering.__aexit__(None, None, None)
        await old.stop()
        # Who was taken over ends nothing of who has taken over.
        async with new.hold([GRACE]):
            assert (await worker.status())["reprocessing"]["contacts_held"] == 1


async def test_a_dry_run_neither_obeys_nor_answers(pipeline: Pipeline) -> None:
    dry = pipeline.consumer(HUBSPOT_SEND_LIVE="false")
    await asyncio.gather(pipeline.producer().launch_and_wait(), dry.launch_and_wait())
    async with started(pipeline) as holding, holding.hold([ADA]):
        await track(pipeline, ADA, "1")

        async def written() -> bool:
            return "dry_run.upsert" in dry.log.read_text()

        await eventually(written, saying="the dry run goes on")
        assert (await dry.status())["reprocessing"] is None
        assert not [one for one in await said(pipeline) if isinstance(one, HoldAnswered)]
