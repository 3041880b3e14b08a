"""Holds while workers come, stop and go: nothing of a held contact gets through, and nothing is lost."""

import asyncio
import random
import signal

import pytest

from hubspot_consumer.holds.records import HoldAnswered
from sandbox.services import Service
from schemas.contacts import ContactKey
from tests.kafka.holding import GRACE, another_worker, holding_of, said, started, track, until_held, until_phone
from tests.pipeline import Pipeline
from tests.polling import eventually

pytestmark = [pytest.mark.timeout(240), pytest.mark.chaos]


async def test_a_rebalance_in_the_middle_of_a_hold_lets_nothing_through_and_loses_nothing(pipeline: Pipeline) -> None:
    first, second = pipeline.consumer(), another_worker(pipeline)
    await asyncio.gather(pipeline.producer().launch_and_wait(), first.launch_and_wait())
    # In all partitions, so that some of them change hands.
    held = [ContactKey(f"c{number}@example.com") for number in range(30)]
    async with started(pipeline) as holding:
        async with holding.hold(held):
            for key in held:
                await track(pipeline, key, "1")
            await until_held(first, len(held))
            await second.launch_and_wait()

            async def both_hold_back() -> bool:
                there: list[int] = [(await worker.status())["contacts"]["held"] for worker in (first, second)]
                return sum(there) == len(held) and min(there) > 0

            await eventually(both_hold_back, saying="the held contacts wait in both workers")
            await track(pipeline, GRACE, "1")
            await until_phone(pipeline, GRACE, "1")
            assert set((await pipeline.simulator.accepted()).contacts) == {GRACE}
        await pipeline.until_arrived(len(held) + 1)
        async with holding.hold(held) as hold:
            assert hold.time_left_s > 55
            published = await said(pipeline)
            answers = [one for one in published if isinstance(one, HoldAnswered) and one.number == hold.number]
            assert len({one.worker for one in answers}) == 2
            await first.stop()
            for key in held:
                await track(pipeline, key, "2")
            await until_held(second, len(held))
            contacts = (await pipeline.simulator.accepted()).contacts
            assert {contacts[key]["properties"]["phone"] for key in held} == {"1"}
        await pipeline.until_arrived(2 * len(held) + 1)


async def test_a_stopped_worker_does_not_answer_and_whoever_takes_over_does(pipeline: Pipeline) -> None:
    first, second = pipeline.consumer(), another_worker(pipeline)
    await asyncio.gather(pipeline.producer().launch_and_wait(), first.launch_and_wait(), second.launch_and_wait())
    keys, told = [ContactKey(f"c{number}@example.com") for number in range(30)], list[str]()
    holding = holding_of(pipeline, waits=told.append)
    await holding.start()
    loop = asyncio.get_running_loop()
    first.send(signal.SIGSTOP)
    begun = loop.time()
    try:
        async with holding.hold(keys):
            # The group takes it for dead after 10 s.
            assert loop.time() - begun > 6
            assert any(one.startswith("no answer from ") for one in told)
            first.send(signal.SIGCONT)
            for key in keys:
                await track(pipeline, key, "1")

            async def all_wait() -> bool:
                there: list[int] = [(await one.status())["contacts"]["held"] for one in (first, second)]
                return sum(there) == len(keys)

            await eventually(all_wait, within_s=40, saying="all wait")
            assert not (await pipeline.simulator.accepted()).contacts
        await pipeline.until_arrived(len(keys))
    finally:
        first.send(signal.SIGCONT)
        await holding.stop()


async def test_holds_that_come_and_go_under_load_while_a_worker_is_killed_lose_and_disorder_nothing(
    pipeline: Pipeline,
) -> None:
    first, second = pipeline.consumer(), another_worker(pipeline)
    await asyncio.gather(pipeline.producer().launch_and_wait(), first.launch_and_wait(), second.launch_and_wait())
    chance, entered = random.Random(1), 0
    async with started(pipeline) as holding:
        committing = asyncio.create_task(pipeline.commit(2_000, per_s=150))
        killing = asyncio.create_task(killed_in_the_middle(first, pipeline))
        while not (committing.done() and killing.done()):
            keys = await contacts_of(pipeline)
            async with holding.hold(chance.sample(keys, min(len(keys), 40))):
                entered += 1
                # What a call takes.
                await asyncio.sleep(0.15)
        await asyncio.gather(committing, killing)
    await pipeline.all_arrive(dead=1)

    assert entered > 5
    findings, dead = await pipeline.findings()
    assert not findings
    assert [letter.reason for letter in dead] == ["invalid_envelope"]


async def killed_in_the_middle(worker: Service, pipeline: Pipeline) -> None:
    await pipeline.until_arrived(300)
    await worker.kill()
    await worker.launch_and_wait()


async def contacts_of(pipeline: Pipeline) -> list[ContactKey]:
    async with await pipeline.connect() as connection:
        rows = await (await connection.execute("SELECT contact_key FROM outbox_contacts")).fetchall()
    return [ContactKey(key) for (key,) in rows]
