"""Runs: commands as processes of their own, which outlive the console, told honestly by whatever they leave behind."""

import os
import signal
import stat
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.runs import runs as runs_module
from console.runs.run import CODE, PID, Progress, StartedRun
from console.runs.runs import NICENESS, AnotherGoesOn, Runs
from tests.clock import OwnedClock
from tests.polling import eventually

# Says what its argument says that it says, and goes on until it is told to stop if that is `wait`.
PROGRAM = """
import signal, sys, threading
name, *lines, code = sys.argv[1:]
told = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: told.set())
for line in lines:
    print(line, file=sys.stdout if line.startswith("{'".replace("'", '"') + "report") else sys.stderr, flush=True)
if code == "wait":
    print('{"part": "contacts", "done": 1, "total": 2}', file=sys.stderr, flush=True)
    told.wait()
    print("stopped before it was finished", file=sys.stderr)
    code = "130"
sys.exit(int(code))
"""


class Console:
    """A console's runs; another one over the same folder is the console after a restart."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = OwnedClock()
        self.runs = self.again()

    def again(self) -> Runs:
        return Runs(self.folder, self.clock, [sys.executable, "-S", "-c", PROGRAM])

    def start(self, *arguments: str, kind: str = "replay") -> StartedRun:
        self.clock.advance(1)
        return self.runs.start(kind, ["x", *arguments], "ada", {"since": "24h"})  # type: ignore[arg-type]


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    made = Console(tmp_path)
    yield made
    for process in made.runs._processes:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


async def ended(run: StartedRun) -> StartedRun:
    async def has_ended() -> bool:
        run.look()
        return run.state != "running"

    await eventually(has_ended, within_s=20, every_s=0.02, saying="the run has ended")
    return run


async def waits(run: StartedRun) -> StartedRun:
    async def goes_on() -> bool:
        run.look()
        return run.progress.part == "contacts"

    await eventually(goes_on, within_s=20, every_s=0.02, saying="the run goes on")
    return run


async def test_a_run_tells_its_plan_how_far_it_came_what_it_said_and_its_report(console: Console) -> None:
    said = ['{"part": "read", "done": 5, "total": 9}', '{"plan": {"events": 9}}', "a word", '{"report": 1}']

    run = await ended(console.start(*said, "0"))

    assert (run.state, run.progress.part, run.progress.done, run.progress.total) == ("done", "read", 5, 9)
    assert (run.plan, run.progress.words, run.report) == ({"events": 9}, ["a word"], {"report": 1})
    assert run.ended is not None
    assert run.command_line.startswith('python -m hubspot_consumer x \'{"part"')


async def test_it_tells_when_that_was_begun_which_it_goes_on_with_and_reads_its_report_once(console: Console) -> None:
    run = await ended(console.start('{"resumed": "2026-11-24T03:00:00+00:00"}', '{"report": 1}', "0"))

    assert run.progress.resumed == datetime(2026, 11, 24, 3, tzinfo=UTC)
    assert run.report is not None
    assert run.report is run.report
    assert (await ended(console.start('{"resumed": "yesterday"}', "0"))).progress.resumed is None


@pytest.mark.parametrize(
    ("code", "state"), [("0", "done"), ("1", "failed"), ("2", "failed"), ("130", "stopped"), ("143", "stopped")]
)
async def test_its_exit_code_says_how_it_ended(console: Console, code: str, state: str) -> None:
    assert (await ended(console.start(code))).state == state


async def test_it_yields_the_processor_to_services(console: Console) -> None:
    run = await waits(console.start("wait"))
    [number] = console.folder.rglob(f"{run.id}/{PID}")

    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert os.getpriority(os.PRIO_PROCESS, int(number.read_text())) == min(own + NICENESS, 19)


async def test_it_is_stopped_by_a_signal_that_it_may_answer(console: Console) -> None:
    run = await waits(console.start("wait"))

    run.stop()

    assert ((await ended(run)).state, run.progress.words) == ("stopped", ["stopped before it was finished"])
    run.stop()


async def test_a_console_that_was_started_again_knows_what_goes_on_and_how_it_ends(console: Console) -> None:
    run = await waits(console.start("wait"))

    after = console.again()

    found = after.of(run.id)
    assert found is not None
    assert (found.state, found.progress.part, found.asked.who) == ("running", "contacts", "ada")
    with pytest.raises(AnotherGoesOn):
        after.start("redrive", ["x", "0"], "ada", {})
    found.stop()
    assert (await ended(found)).state == "stopped"
    assert [each.state for each in console.again().all("replay")] == ["stopped"]


async def test_one_whose_machine_was_stopped_is_lost_and_not_said_to_be_done(console: Console) -> None:
    run = await waits(console.start("wait"))
    [process] = console.runs._processes

    os.killpg(process.pid, signal.SIGKILL)

    assert (await ended(run)).state == "lost"
    assert console.again().all("replay")[0].state == "lost"


async def test_one_writes_at_a_time_and_whatever_writes_nothing_goes_on_beside_it(console: Console) -> None:
    run = await waits(console.start("wait"))

    for kind in ("replay", "redrive"):
        with pytest.raises(AnotherGoesOn) as raised:
            console.start("0", kind=kind)
        assert raised.value.run.id == run.id
    for kind in ("replay_plan", "redrive_plan", "mend", "discard"):
        assert (await ended(console.start("0", kind=kind))).state == "done"
    run.stop()
    await ended(run)
    assert (await ended(console.start("0"))).state == "done"


async def test_what_can_not_be_read_is_passed_over_and_other_paths_are_no_runs(
    console: Console, tmp_path: Path
) -> None:
    run = await ended(console.start("0"))
    (tmp_path / "runs" / "20200101-begun").mkdir()
    (tmp_path / "asked.json").write_text("{}")

    assert [each.id for each in console.again().all("replay")] == [run.id]
    for name in ("..", ".", "", "nobody's", f"../runs/{run.id}", "20200101-begun"):
        assert console.again().of(name) is None


async def test_whoever_asks_for_some_kinds_reads_nothing_of_the_others(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("replay", "mend"):
        await ended(console.start("0", kind=kind))
    looked: list[str] = []
    monkeypatch.setattr(StartedRun, "look", lambda run: looked.append(run.asked.kind))

    assert [run.asked.kind for run in console.again().all("replay", "redrive")] == ["replay"]
    assert looked == ["replay"]


async def test_only_the_newest_are_kept_and_those_that_go_on(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs_module, "MOST_KEPT", 2)
    first = await waits(console.start("wait", kind="mend"))

    for _ in range(4):
        last = await ended(console.start("0", kind="mend"))

    kept = console.runs.all("mend")
    assert (kept[0].id, kept[-1].id, len(kept)) == (last.id, first.id, 3)


async def test_what_can_be_no_argument_leaves_no_run(console: Console, tmp_path: Path) -> None:
    for unfit, raised in (("a\x00b", ValueError), ("x" * 1_000_000, OSError)):
        with pytest.raises(raised):
            console.start(unfit)

    assert list((tmp_path / "runs").iterdir()) == []
    assert (await ended(console.start("0"))).state == "done"


async def test_its_files_are_its_owners_alone(console: Console, tmp_path: Path) -> None:
    run = await ended(console.start("0"))

    assert stat.S_IMODE((tmp_path / "runs" / run.id).stat().st_mode) == 0o700


async def test_a_stop_before_it_has_a_number_or_after_its_end_hurts_nobody(console: Console, tmp_path: Path) -> None:
    run = await waits(console.start("wait"))
    pid = tmp_path / "runs" / run.id / PID
    number = pid.read_text()
    pid.unlink()
    run.stop()
    run.look()
    assert run.state == "running"

    pid.write_text(number)
    run.stop()
    await ended(run)
    assert (tmp_path / "runs" / run.id / CODE).read_text() == "130\n"
    # The number may be another process' by now: ours, if it was sent.
    pid.write_text(str(os.getpid()))
    run.stop()


@given(st.lists(st.binary(max_size=30) | st.sampled_from([b'{"part": 1}\n', b'{"plan": []}\n', b"[[1]\n", b"7\n"])))
def test_whatever_bytes_a_process_says_are_taken(said: list[bytes]) -> None:
    progress = Progress()

    for data in said:
        progress.take(data)

    assert progress.position == sum(map(len, said))
    assert all(isinstance(word, str) for word in progress.words)
