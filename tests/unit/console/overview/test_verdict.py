"""The verdict: whether all is well, in one line, and the picture whose stages say what is not."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import escape

from console.overview.backlog import COUNTED
from console.overview.flow import Flow, Unwell
from console.overview.outlook import outlook
from console.overview.overview import Seen
from console.overview.past.history import History, Recent, Sample
from console.overview.picture import steps, verdict
from console.overview.problem import Problem
from console.overview.problems import problems
from console.overview.quota import Quota
from console.overview.source import Source
from console.overview.workers import WorkerFigures
from console.shared_settings import Comparison
from console.web.view import View
from tests.clock import OwnedClock
from tests.console.world import HALT, World, page_of, worker

AT = datetime(2026, 11, 24, 12, tzinfo=UTC)
QUOTA = Quota(100, 10, 7, 250_000, 200_000, AT + timedelta(hours=6))
WELL = Flow(
    at=AT,
    outbox_rows=0,
    relay_active=True,
    producers=1,
    lag=3,
    workers=1,
    workers_known=1,
    one_by_one=(WorkerFigures("worker x", mode="live"),),
    modes=frozenset({"live"}),
    delivered_per_s=20,
    calls_per_s=10,
    latency_p50_s=0.2,
    quota=QUOTA,
)
STEADY = Recent(arriving_per_s=20, delivered_per_s=20, calls_per_s=2, most_delivered_per_s=60)
PAUSE = {"reason": "paused", "detail": "an import runs (ada)", "since": "2026-11-24T11:00:00+00:00"}


def seen(flow: Flow, recent: Recent = STEADY) -> Seen:
    coming = outlook(flow, recent)
    found = problems(flow, coming)
    return Seen(flow, coming, found, verdict(flow, found), steps(flow, found))


def unreachable(name: str, **changes: Any) -> Sequence[Problem]:
    """Return the problems of a flow one of whose sources has never answered."""

    async def ask() -> None:
        raise TimeoutError

    source = Source(name, ask, OwnedClock())
    source._trouble = "does not answer in time"
    return seen(replace(WELL, unreachable=(source,), **changes)).problems


def shown(what: Seen) -> str:
    return View()._templates.env.get_template("overview_live.html").render(seen=what)


def test_a_flow_without_problems_is_well_at_each_stage() -> None:
    found = seen(WELL)

    assert (found.verdict.state, found.verdict.title) == ("good", "All is well")
    assert found.verdict.words == "20.0 events/s are delivered, half of them within 200 ms of their commit."
    assert [(step.name, step.state) for step in found.steps] == [
        (name, "good") for name in ("Outbox", "Relay", "Kafka", "Workers", "HubSpot")
    ]


HALTED: dict[str, Any] = {"one_by_one": (WorkerFigures("worker x", mode="live", halt="x"),)}
PROBLEMS: list[tuple[dict[str, Any], str, str, str, str]] = [
    ({"halts": (PAUSE,), **HALTED}, "hubspot", "bad", "Nothing is sent: paused", "/control"),
    ({"halts": (HALT,), **HALTED}, "hubspot", "bad", "Nothing is sent: halted, token_refused", "/control"),
    ({"modes": frozenset({"dry_run"})}, "hubspot", "warn", "Dry run", ""),
    ({"modes": frozenset({"disabled"})}, "worker", "warn", "Disabled", ""),
    ({"relay_active": False}, "relay", "bad", "No relay is active", ""),
    ({"outbox_oldest_s": 90.0}, "outbox", "bad", "Events wait in the outbox", ""),
    ({"unwell": (Unwell("producer x", "kafka", "no"),)}, "relay", "bad", "Producer x is unwell: kafka", "/control"),
    ({"unwell": (Unwell("worker x", "kafka", "starting"),)}, "worker", "warn", "Worker x is unwell: kafka", "/control"),
    ({"lag": 12_000}, "kafka", "bad", "Behind", "#keeping-up"),
    ({"dead_letters_per_min": 3.0}, "worker", "warn", "Events were set aside as dead letters", "/dead-letters"),
    ({"rate_limited_per_min": 3.0}, "hubspot", "warn", "HubSpot refuses calls as too many", ""),
    (
        {"quota": replace(QUOTA, daily_remaining=9_000)},
        "hubspot",
        "warn",
        "The calls of the day will not last",
        "#keeping-up",
    ),
    (
        {"quota": replace(QUOTA, daily_remaining=9_000, daily_resets_at=None)},
        "hubspot",
        "warn",
        "Few calls of the day are left",
        "",
    ),
    ({"other_groups": {"worker x": "theirs"}}, "kafka", "bad", "Worker x reads for another group", "/control"),
    (
        {"differing": (Comparison("worker x", {"HUBSPOT_PORTAL_ID": ("1", "2")}, ()),)},
        "worker",
        "bad",
        "Worker x has other settings than the console",
        "/control",
    ),
    (
        {"one_by_one": (WorkerFigures("worker x", mode="live", slow="takes long"),)},
        "worker",
        "warn",
        "Worker x is slow",
        "#workers",
    ),
    ({"workers": 0, "workers_known": 0, "one_by_one": (), "lag": 90}, "worker", "warn", "No worker is known", ""),
    ({"producers": 0, "relay_active": None}, "relay", "warn", "No producer is known", ""),
    (
        {"one_by_one": (WorkerFigures("worker x", mode="live", stands=True),)},
        "worker",
        "warn",
        "No worker delivers",
        "#workers",
    ),
    ({"running": {"consumers": ["1", "2"]}}, "worker", "warn", "Not all services are of one version", ""),
]


@pytest.mark.parametrize(("change", "stage", "level", "title", "link"), PROBLEMS, ids=lambda each: str(each)[:40])
def test_each_problem_colours_its_stage_and_is_said_with_where_to_act(
    change: dict[str, Any], stage: str, level: str, title: str, link: str
) -> None:
    found = seen(replace(WELL, **change))

    assert (found.verdict.title, found.verdict.state) == (title, level)
    assert {step.stage: step.state for step in found.steps if step.state != "good"} == {stage: level}
    [problem] = found.problems
    assert problem.link == link
    assert bool(problem.link_words) == bool(link)
    page = shown(found)
    assert f"<strong>{title}:</strong> {escape(problem.words)}" in page
    assert not link or f'href="{link}"' in page


@given(changes=st.lists(st.sampled_from([change for change, *_ in PROBLEMS]), max_size=6))
def test_the_worst_problem_is_the_verdict_and_none_is_left_out(changes: list[dict[str, Any]]) -> None:
    together: dict[str, Any] = {}
    for change in changes:
        together |= change

    found = seen(replace(WELL, **together))

    assert (found.verdict.state == "good") == (not found.problems)
    levels = [problem.level for problem in found.problems]
    assert levels == sorted(levels)
    assert found.verdict.state == (levels[0] if levels else "good")
    assert sorted(problem.key for step in found.steps for problem in step.problems) == sorted(
        problem.key for problem in found.problems
    )
    assert len({problem.key for problem in found.problems}) == len(found.problems)
    page = shown(found)
    assert all(f'data-problem="{problem.key}"' in page for problem in found.problems)


def test_a_pause_is_said_before_whatever_else_is_wrong_with_who_and_since_when() -> None:
    found = seen(replace(WELL, halts=(PAUSE,), **HALTED, relay_active=False, lag=12_000))

    assert found.verdict.title == "Nothing is sent: paused"
    assert (found.verdict.words, found.verdict.since) == ("an import runs (ada).", AT - timedelta(hours=1))
    assert "(60 min)" in shown(found)


def test_a_halt_of_some_workers_does_not_say_that_nothing_is_sent() -> None:
    workers = tuple(WorkerFigures(name, mode="live", halt=halt) for name, halt in (("a", "token_refused"), ("b", None)))

    found = seen(replace(WELL, halts=(HALT,), one_by_one=workers))

    assert found.verdict.title == "1 of 2 workers send nothing: halted, token_refused"
    assert found.outlook.sends


def test_workers_of_whom_one_delivers_do_not_all_stand_and_a_halt_is_said_once() -> None:
    standing = WorkerFigures("worker x", mode="live", stands=True)
    delivers = WorkerFigures("worker y", mode="live", delivered_per_s=20)

    for changes in ({"one_by_one": (standing, delivers)}, {"one_by_one": (standing,), "halts": (HALT,)}):
        assert "stands" not in [problem.key for problem in seen(replace(WELL, **changes)).problems]


async def test_a_console_that_has_asked_nobody_yet_does_not_say_that_all_is_well() -> None:
    world = World()
    overview = world.overview()

    assert overview.seen().verdict.title == "Not known yet"
    assert {step.state for step in overview.seen().steps} == {"unknown"}
    await world.look()
    assert overview.seen().verdict.title == "All is well"


async def test_a_source_that_is_away_is_named_at_its_stage_and_worse_if_nobody_stands_in() -> None:
    world = World(workers=[None, worker(0)])
    overview = world.overview()
    await world.look()

    [problem] = overview.seen().problems
    assert (problem.title, problem.stage, problem.level) == ("Worker 0 does not answer in time", "worker", "warn")

    of_producer = unreachable("producer x", relay_active=False)
    assert [problem.level for problem in of_producer if problem.key.startswith("away")] == ["warn"]

    world.workers = [None, None]
    world.outbox = world.topics = world.producer = None
    await world.look()

    found = overview.seen()
    assert {(problem.stage, problem.level) for problem in found.problems} == {
        (stage, "bad") for stage in ("outbox", "relay", "kafka", "worker")
    }
    assert 'data-problem="away:Kafka"' in page_of(overview)


def test_an_outbox_with_more_rows_than_are_counted_is_at_least_as_large_and_nothing_is_concluded_from_it() -> None:
    history = History()
    for number in range(100):
        history.add(Sample(number * 5, {"outbox_rows": COUNTED, "written_per_s": 20.0, "calls_per_s": 1.0}))
    recent = history.recent(500)

    found = seen(replace(WELL, outbox_rows=COUNTED, lag=50), recent)

    assert (recent.arriving_per_s, found.outlook.caught_up_in_s, found.outlook.daily) == (None, None, None)
    [problem] = found.problems
    assert problem.words == "At least 100,050 events wait. When they will be delivered is not known yet."
    page = " ".join(re.sub(r"<[^>]*>", " ", shown(found)).split())
    assert all(
        words in page for words in ("waiting at least 100,000", "At least 100,050 events", "wait at least 100,050")
    )
