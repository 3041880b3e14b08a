"""Processes of an older version run beside those of this one: nothing is lost, doubled or out of order, both ways."""

import asyncio
import json
import re
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sandbox.day.traffic import Happening
from sandbox.processes import free_port
from sandbox.services import Service
from sandbox.variants import product
from sandbox.variants.product import Version
from tests.end_to_end.reprocessing.test_pause import paused
from tests.kafka.deliveries import acked_without_receipt, read_receipts
from tests.pipeline import PARTITIONS, Pipeline
from tests.polling import eventually

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

EVENTS = 400
REPLAY = ("replay", "--from-earliest", "--yes")
# They have every partition number, so each worker has some of them.
DRIVERS = [f"driver.{number}@example.com" for number in range(18)]
NEWER_FORM = """
UPDATE outbox_events SET payload = jsonb_set(payload, '{schema_version}', '2')
WHERE sequence = 2 RETURNING aggregateid, id::text
"""

Command = Callable[..., Awaitable[None]]
"""Runs a command of the consumer, of one of the versions, to its end with exit code 0."""


@pytest.fixture(scope="session")
def older(tmp_path_factory: pytest.TempPathFactory) -> Version:
    try:
        return product.older(tmp_path_factory.mktemp("older"))
    except product.NoHistory as error:
        pytest.skip(str(error))


class OlderService(Service):
    """A service of the older version."""

    def __init__(self, version: Version, arguments: list[str], pipeline: Pipeline) -> None:
        port = str(free_port())
        self.folder = pipeline.directory / f"older-{port}"
        ports = dict.fromkeys(("PRODUCER_PORT", "CONSUMER_PORT", "CONSOLE_PORT"), port)
        own = ports | {"CONSOLE_FOLDER": str(self.folder)}
        super().__init__(
            f"older-{port}", arguments, pipeline.directory, pipeline.environment | own, port, version=version
        )


async def share(*workers: Service) -> None:
    """Return when each of the workers has been given a half of the partitions."""

    async def shared() -> bool:
        return all(f'"partitions": {PARTITIONS * 7 // 2}, ' in worker.log.read_text() for worker in workers)

    await eventually(shared, within_s=60, every_s=0.2, saying="the workers share the partitions")


async def found_by_the_doctor(pipeline: Pipeline, name: str) -> dict[str, str]:
    findings = json.loads((await pipeline.run("doctor", "--offline", "--json")).output)["findings"]
    found: dict[str, str] = next(finding for finding in findings if finding["name"] == name)
    return found


def commands(pipeline: Pipeline, older: Version) -> tuple[Command, Command]:
    """Return what runs the older version's commands, and what runs this one's."""

    async def run_older(*arguments: str) -> None:
        command = pipeline.keep(OlderService(older, ["hubspot_consumer", *arguments], pipeline))
        command.launch()

        async def ended() -> bool:
            return not command.running

        await eventually(ended, within_s=60, saying=f"the older version's {arguments[0]} ends")
        assert command.exit_code == 0, command.tail()

    async def run_this(*arguments: str) -> None:
        done = await pipeline.run(*arguments)
        assert done.code == 0, done.output + done.errors

    return run_older, run_this


def parts_of_a_day(pipeline: Pipeline) -> Callable[[], Awaitable[None]]:
    """Return what commits the next part of a day, each time that it is called."""
    day = iter(pipeline.day(6 * EVENTS))

    async def play() -> None:
        await pipeline.play([happening for happening, _ in zip(day, range(EVENTS), strict=False)], per_s=200)

    return play


async def test_workers_and_relays_change_to_this_version_and_back_under_load(
    pipeline: Pipeline, older: Version, tmp_path: Path
) -> None:
    old_relay, old_worker = (
        pipeline.keep(OlderService(older, arguments, pipeline))
        for arguments in (["producer", "serve"], ["hubspot_consumer", "worker"])
    )
    new_relay, new_worker = pipeline.producer(), pipeline.consumer()
    run_older, run_this = commands(pipeline, older)
    play = parts_of_a_day(pipeline)

    await old_relay.launch_and_wait()
    await old_worker.launch_and_wait()
    await play()
    # Forward: worker and relay of both versions side by side, then this one's alone.
    await new_worker.launch_and_wait()
    await new_relay.launch_and_wait()
    await share(old_worker, new_worker)
    mixed = await found_by_the_doctor(pipeline, "worker_versions")
    await play()
    await run_this(*REPLAY, "--folder", str(tmp_path / "forward"))
    await old_relay.stop()
    await play()
    await old_worker.stop()
    await play()
    # And back again.
    await old_worker.launch_and_wait()
    await old_relay.launch_and_wait()
    await play()
    await run_older(*REPLAY, "--folder", str(tmp_path / "back"))
    await new_relay.stop()
    await new_worker.stop()
    await play()

    await pipeline.all_accounted_for(within_s=120)
    findings, _ = await pipeline.findings()
    assert not findings
    assert mixed["level"] == "warn"
    assert re.search(r"1 worker of an older version; the older ones are faust-\S+ at \S+$", mixed["what"])


def sign_up(email: str) -> Happening:
    at = datetime.now(UTC)
    user = {"user_id": f"usr_{email}", "email": email, "auth_provider": "apple", "created_at": at.isoformat()}
    return Happening(email, "driver_signed_up", user, at)


def rewards(email: str, number: int) -> list[Happening]:
    at = datetime.now(UTC)
    earned = {"user_id": f"usr_{email}", "amount_cents": 5, "new_balance_cents": 5, "earned_at": at.isoformat()}
    return [Happening(email, "nova_earned", earned | {"session_id": f"ses_{session}"}, at) for session in range(number)]


async def commit_newer_events(pipeline: Pipeline) -> dict[str, str]:
    """Commit an event of a newer form between older ones, for each driver; return its id by email. No relay runs."""
    await pipeline.play([event for email in DRIVERS for event in (sign_up(email), *rewards(email, 2))])
    async with await pipeline.connect() as connection:
        return dict(await (await connection.execute(NEWER_FORM)).fetchall())


async def set_aside(pipeline: Pipeline, newer: Mapping[str, str], workers: Sequence[Service]) -> list[str]:
    """Return when all newer events are dead letters for their form: a driver of each worker, in their order."""

    async def all_dead() -> bool:
        reasons = {letter.id: letter.reason for letter in await pipeline.dead_letters()}
        return {reasons.get(event_id) for event_id in newer.values()} == {"unsupported_schema_version"}

    await eventually(all_dead, within_s=30, every_s=0.5, saying="the newer events are dead letters")
    logs = [worker.log.read_text() for worker in workers]
    return [next(email for email, event_id in newer.items() if event_id in log) for log in logs]


async def until(worker: Service, condition: Callable[[dict[str, Any]], bool], saying: str) -> None:
    """Return when the worker's status meets the condition."""

    async def met() -> bool:
        return condition(await worker.status())

    await eventually(met, within_s=30, saying=saying)


def more_receipts(than: int) -> Callable[[dict[str, Any]], bool]:
    return lambda status: bool(status["receipts"]["written"] > than)


async def pause_and_resume(
    pipeline: Pipeline, workers: Sequence[Service], play: Callable[[], Awaitable[None]], *, by: tuple[Command, Command]
) -> None:
    """Pause by a command of one version and resume by one of the other, and see that each worker does so."""
    pause, resume = by
    await pause("pause", "--note", "a rolling deploy")
    for worker in workers:
        await paused(worker)
        await until(worker, lambda status: not status["in_flight"]["calls"], "its calls end")
    calls = (await pipeline.simulator.statistics())["calls"]
    await play()
    for worker in workers:
        await until(worker, lambda status: status["in_flight"]["events"] > 0, "it reads on")
    written = [(await worker.status())["receipts"]["written"] for worker in workers]
    assert (await pipeline.simulator.statistics())["calls"] == calls

    await resume("resume")
    for worker, before in zip(workers, written, strict=True):
        await until(worker, more_receipts(before), "it delivers again")


async def resync_under_load(pipeline: Pipeline, resync: Command, email: str, worker: Service) -> None:
    """Write a contact again while its events go on, and see that its worker keeps them back meanwhile."""
    written = asyncio.Event()

    async def earn() -> None:
        while not written.is_set():
            await pipeline.play(rewards(email, 25), per_s=25)

    # The hold lasts long enough to be seen.
    await pipeline.simulator.change_settings(latency_ms=300)
    async with asyncio.TaskGroup() as together:
        together.create_task(earn())
        together.create_task(until(worker, lambda status: status["contacts"]["held"] > 0, "it holds the contact"))
        await resync("resync", email)
        written.set()
    await pipeline.simulator.change_settings(latency_ms=0)


async def receipts_in_the_index(console: OlderService) -> int:
    with closing(sqlite3.connect(console.folder / "index.sqlite")) as connection:
        [number] = connection.execute("SELECT count(*) FROM receipts").fetchone()
    return int(number)


async def test_a_worker_of_each_version_understands_what_commands_and_workers_of_both_write(
    pipeline: Pipeline, older: Version
) -> None:
    old_worker = pipeline.keep(OlderService(older, ["hubspot_consumer", "worker"], pipeline))
    new_worker = pipeline.consumer()
    old_console = OlderService(older, ["console", "serve"], pipeline)
    pipeline.keep(old_console)
    workers = old_worker, new_worker
    run_older, run_this = commands(pipeline, older)
    play = parts_of_a_day(pipeline)
    for service in (old_console, *workers):
        await service.launch_and_wait()
    await share(*workers)

    newer = await commit_newer_events(pipeline)
    await pipeline.producer().launch_and_wait()
    of_old, of_new = await set_aside(pipeline, newer, workers)

    await pause_and_resume(pipeline, workers, play, by=(run_older, run_this))
    await pause_and_resume(pipeline, workers, play, by=(run_this, run_older))
    await resync_under_load(pipeline, run_older, of_new, new_worker)
    await resync_under_load(pipeline, run_this, of_old, old_worker)

    await pipeline.all_accounted_for(within_s=60)
    await pipeline.until_finished()
    findings, _ = await pipeline.findings()
    assert not findings
    # This version reads the receipts of both workers, and so does the older one.
    assert await acked_without_receipt(pipeline) == []
    assert (await found_by_the_doctor(pipeline, "receipts"))["level"] == "ok"
    receipts = len(await read_receipts(pipeline))

    async def indexed() -> bool:
        return await receipts_in_the_index(old_console) == receipts

    await eventually(indexed, saying="the older version's console has every receipt")
