"""A hostile day: all hostile inputs reach a running stack, and ordinary traffic beside them does not notice."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from random import Random
from statistics import quantiles

import httpx
import pytest
from aiokafka import TopicPartition

from hubspot_consumer.kafka.lag import Lag
from runtime.kafka.topic_reader import TopicReader
from sandbox.day.ledger import Committed
from sandbox.day.traffic import Happening
from sandbox.services import Service
from schemas.deliveries import Receipt
from schemas.texts import read_object
from schemas.topics import Topics
from tests.console.server import sign_in
from tests.hostile.day import PLAYS, Interposed, Stack, play, reached, second_worker
from tests.hostile.inputs import Input, inputs
from tests.kafka.deliveries import acked_without_receipt, read_receipts
from tests.outbox.intake import TOKEN
from tests.pipeline import OPERATOR_TOKEN, Pipeline
from tests.polling import eventually

pytestmark = [pytest.mark.timeout(1_200), pytest.mark.chaos]

PER_S = 50
WARM_S, CALM_S, HOSTILE_S = 20, 60, 300
AT_ONCE = 8
LOOK_EVERY_S = 0.25
MOST_BLOCKED_S = 1.0
MOST_GROWTH_MIB = 64
MOST_SLOWER = 3.0


def test_each_surface_can_be_played() -> None:
    assert {one.surface for one in inputs()} == PLAYS.keys()


async def test_hostile_inputs_delay_no_ordinary_event(pipeline: Pipeline, days: list[str]) -> None:
    more = {"PRODUCER_INTAKE_TOKEN": TOKEN, "DEAD_LETTER_LIMIT": "100000"}
    relay, worker, console = pipeline.producer(**more), pipeline.consumer(**more), pipeline.console()
    await asyncio.gather(*(service.launch_and_wait() for service in (relay, worker, console)))
    async with Interposed(pipeline.simulator.url) as hubspot:
        second, topics = await second_worker(pipeline, hubspot.url, **more)
        services, blocked = (relay, worker, console, second), dict[str, float]()
        warm = await played(pipeline, pipeline.day(WARM_S * PER_S, seed=3))
        calm = await played(pipeline, pipeline.day(CALM_S * PER_S, seed=1)) - warm
        await visit(console)
        before = {service.url: resident_mib(service) for service in services}
        watching = asyncio.create_task(watch(services, blocked))
        day = pipeline.day(HOSTILE_S * PER_S, seed=2)
        # In a thread, which large inputs may keep busy: the traffic and the watch go on meanwhile.
        playing = asyncio.to_thread(
            asyncio.run, play_all(reached(pipeline, relay, worker, console, hubspot, topics), inputs())
        )
        await asyncio.gather(pipeline.play(day, per_s=PER_S), playing)
        watching.cancel()
        await pipeline.until_finished(within_s=120)
        await eventually(
            lambda: finished(pipeline, topics), within_s=120, every_s=0.5, saying="the second worker reads all"
        )
    grown = [resident_mib(service) - before[service.url] for service in services]
    ledger, ordinary = (await pipeline.ledger()).events, {each.contact for each in day}
    receipts = {each.event_id: each for each in await read_receipts(pipeline) if each.event_id in ledger}
    hostile = {event for event, one in ledger.items() if one.contact_key in ordinary} - calm - warm
    p99 = [p99_s(receipts, ledger, events) for events in (calm, hostile)]
    days.append(
        f"hostile day, {len(inputs())} inputs: p99 {p99[0]:.2f} s calm, {p99[1]:.2f} s hostile; "
        f"longest answer {max(blocked.values()):.2f} s; MiB grown: {grown}"
    )

    assert all(service.running for service in services)
    assert [(await service.health())[0] for service in services] == [200] * 4
    assert await unaccounted(pipeline) == []
    assert not (calm | hostile) - receipts.keys()
    assert max(blocked.values()) < MOST_BLOCKED_S
    assert max(grown) < MOST_GROWTH_MIB
    assert p99[1] < MOST_SLOWER * p99[0]


async def played(pipeline: Pipeline, day: Sequence[Happening]) -> set[str]:
    """Commit a day; return the ids of all events so far."""
    await pipeline.play(day, per_s=PER_S)
    return set((await pipeline.ledger()).events)


async def visit(console: Service) -> None:
    """Open each page once, so that what the console loads for its first visitor does not count as growth."""
    async with httpx.AsyncClient(base_url=console.url, timeout=60) as operator:
        await sign_in(operator, OPERATOR_TOKEN)
        for path in ("/", "/overview/live", "/contacts?q=nobody@example.com", "/dead-letters", "/replay", "/control"):
            assert (await operator.get(path)).status_code == 200


async def play_all(reaching: AbstractAsyncContextManager[Stack], all_inputs: Sequence[Input]) -> None:
    """Play all inputs in random order, evenly over most of the day and AT_ONCE at a time."""
    limit, began = asyncio.Semaphore(AT_ONCE), time.monotonic()
    shuffled = Random(0).sample(all_inputs, len(all_inputs))

    async def play_one(stack: Stack, hostile: Input) -> None:
        try:
            await play(stack, hostile)
        finally:
            limit.release()

    async with reaching as stack, asyncio.TaskGroup() as playing:
        for number, hostile in enumerate(shuffled):
            due = began + number * (HOSTILE_S - 30) / len(all_inputs)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await limit.acquire()
            playing.create_task(play_one(stack, hostile))


async def watch(services: Sequence[Service], blocked: dict[str, float]) -> None:
    """Ask each service for its liveness all the time, and keep the longest time that one took."""
    async with httpx.AsyncClient(timeout=60) as http:
        while True:
            for service in services:
                began = time.monotonic()
                answer = await http.get(f"{service.url}/v1/health/live")
                assert answer.status_code == 200
                blocked[service.url] = max(blocked.get(service.url, 0.0), time.monotonic() - began)
            await asyncio.sleep(LOOK_EVERY_S)


async def unaccounted(pipeline: Pipeline) -> list[tuple[str, int, int]]:
    """Return the records that were acked without a receipt, except repetitions of an event that has one."""
    known = {receipt.event_id for receipt in await read_receipts(pipeline)}
    places = await acked_without_receipt(pipeline)
    reader = TopicReader({"bootstrap_servers": pipeline.environment["KAFKA_BOOTSTRAP_SERVERS"]})
    found = []
    async with reader:
        for topic, number, offset in places:
            partition = TopicPartition(topic, number)
            reader.read_from({partition: offset})
            records = [record async for record in reader.records_to({partition: offset + 1})]
            if not any(read_object(record.value).get("id") in known for record in records):
                found.append((topic, number, offset))
    return found


async def finished(pipeline: Pipeline, topics: Topics) -> bool:
    """Return whether the second worker has acked all of its topics."""
    options = {"bootstrap_servers": pipeline.environment["KAFKA_BOOTSTRAP_SERVERS"]}
    lag = Lag(options, topics.prefix, topics.events)
    await lag.start()
    try:
        return not any((await lag.read()).values())
    finally:
        await lag.stop()


def resident_mib(service: Service) -> int:
    status = Path(f"/proc/{service.pid}/status").read_text(encoding="ascii")
    [line] = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) // 1024


def p99_s(receipts: Mapping[str, Receipt], ledger: Mapping[str, Committed], events: set[str]) -> float:
    took = [(receipts[each].at - ledger[each].committed_at).total_seconds() for each in events if each in receipts]
    return quantiles(took, n=100)[98]
