"""Marks: when a pause, a halt, another problem, a deployment or a run began, and how long it lasted."""

import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from console.overview import flow as flow_module
from console.overview.past.marks import JOINED_S, Mark, with_runs
from console.runs.run import StartedRun
from console.runs.runs import Runs
from tests.clock import START
from tests.console.world import HALT, World, worker

NOW = START.timestamp()
RUN = {"run": "r1", "command": "replay", "quota_share": 0.5, "contacts_held": 1}


async def test_a_halt_began_when_the_workers_say_and_lasts_until_they_say_so_no_more() -> None:
    world = World(workers=[worker(0, halted=HALT), worker(0)])
    overview = world.overview()
    for _ in range(4):
        await world.sampled(overview)

    [mark] = await overview.happened(24)
    assert (mark.kind, mark.words, mark.goes_on) == ("halt", "Halted: token_refused: 401", True)
    assert mark.began_at == START - timedelta(hours=1)

    world.workers = [worker(0), worker(0)]
    for _ in range(3):
        await world.sampled(overview)

    [mark] = await overview.happened(24)
    assert (mark.goes_on, mark.until) == (False, NOW + 20)


@pytest.mark.parametrize(("gap_s", "marks"), [(JOINED_S - 5, 1), (JOINED_S + 10, 2)])
async def test_a_problem_that_comes_back_soon_is_one_mark(gap_s: float, marks: int) -> None:
    world = World()
    overview = world.overview()
    for after_s, topics in ((5, None), (5, world.topics), (gap_s - 5, None)):
        world.topics = topics
        await world.sampled(overview, after_s)

    found = [mark for mark in await overview.happened(24) if mark.key == "away:Kafka"]

    assert len(found) == marks
    assert found[0].goes_on


async def test_a_problem_that_no_service_dates_says_since_when_the_console_has_seen_it() -> None:
    world = World(workers=[worker(0, unwell={"kafka": "no broker answers"}), worker(0)])
    overview = world.overview()
    for _ in range(5):
        await world.sampled(overview)

    assert overview.seen().verdict.since == START + timedelta(seconds=5)


async def test_a_version_that_comes_is_a_deployment_and_one_that_does_not_answer_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(flow_module, "program_version", lambda: "0.1.0")
    world = World()
    overview = world.overview()
    for one, two in (("0.1.0", "0.1.0"), (None, "0.1.0"), (None, None), ("0.2.0", "0.1.0"), ("0.2.0", "0.2.0")):
        world.workers = [worker(0, version=version) if version else None for version in (one, two)]
        await world.sampled(overview)

    [mark] = [mark for mark in await overview.happened(24) if mark.kind == "deployment"]

    assert (mark.words, mark.began) == ("consumers run 0.2.0", NOW + 20)


async def test_the_next_console_notices_what_was_deployed_while_there_was_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(workers=[worker(0, version="0.1.0"), worker(0, version="0.1.0")])
    monkeypatch.setattr(flow_module, "program_version", lambda: "0.1.0")
    before = world.overview(tmp_path)
    await world.sampled(before)
    before.file.close()

    monkeypatch.setattr(flow_module, "program_version", lambda: "0.2.0")
    following = world.overview(tmp_path)
    await following.restore()
    await world.sampled(following)
    following.file.close()

    assert [mark.words for mark in await following.happened(24) if mark.kind == "deployment"] == [
        "this console runs 0.2.0"
    ]


async def test_a_run_that_workers_tell_of_is_a_mark_unless_the_console_has_started_it(tmp_path: Path) -> None:
    world = World(workers=[worker(0, reprocessing=RUN), worker(0)])
    overview = world.overview()
    await world.sampled(overview)
    [told] = await overview.happened(24)
    assert (told.kind, told.words, told.goes_on) == ("run", "replay", True)

    runs = Runs(tmp_path, world.clock, program=("true",))
    own = runs.start("replay", [], "ada", {})
    for process in runs._processes:
        process.wait()

    [mark] = with_runs([told], runs.all("replay"), world.clock.now().timestamp())

    assert (mark.words, mark.link) == ("Replay, started by ada", f"/runs/{own.id}")


async def test_runs_are_read_beside_the_event_loop() -> None:
    threads: list[int] = []

    def read() -> tuple[StartedRun, ...]:
        threads.append(threading.get_ident())
        return ()

    overview = replace(World().overview(), runs=read)
    await overview.happened(1)
    await overview.charts(1)

    assert len(threads) == 2
    assert threading.get_ident() not in threads


def test_marks_are_shown_the_newest_first_and_not_beyond_a_day() -> None:
    marks = [Mark(str(age), "problem", "words", NOW - age, NOW - age) for age in (100, 5, 50)]

    assert [mark.key for mark in with_runs(marks, (), NOW)] == ["5", "50", "100"]
