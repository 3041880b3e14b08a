"""The overview's figures: sums of what is known, and None for what nobody knows."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from math import ceil, inf
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from console.overview import flow as flow_module
from console.overview.flow import Unwell
from console.overview.services import Exposition, Report, ask_worker, quantile, risen
from console.shared_settings import ours_of
from console.web.view import View
from hubspot_consumer.settings import Settings as ConsumerSettings
from tests.console.world import HALT, World, page_of, producer, told, worker

OURS = "0.1.0 (abc1234)"


async def test_figures_of_several_workers_are_summed_and_quotas_are_not() -> None:
    world = World()
    overview = world.overview()
    await world.look()
    world.clock.advance(2)
    world.workers = [worker(20), worker(60)]
    world.producer = producer(100)
    await world.look()

    flow = overview.now()

    assert (flow.delivered_per_s, flow.calls_per_s, flow.events_per_call) == (40, 4, 10)
    assert (flow.published_per_s, flow.unfinished, flow.contacts) == (50, 6, {"ready": 2, "held": 4})
    assert (flow.outbox_rows, flow.outbox_oldest_s, flow.parked, flow.lag) == (2, 9, 5, 4)
    assert flow.quota is not None
    assert (flow.quota.limit, flow.quota.used, flow.quota.daily_remaining) == (100, 14, 200_000)
    assert flow.quota.daily_resets_at == datetime(2026, 11, 25, 5, tzinfo=UTC)
    assert (flow.latency_p50_s, flow.unreachable) == (0.5, ())


async def test_each_part_that_does_not_answer_takes_its_own_figures_and_no_others() -> None:
    world = World()
    overview = world.overview()
    await world.look()
    world.clock.advance(2)
    world.outbox = world.topics = world.producer = None
    await world.look()
    flow = overview.now()

    assert [source.name for source in flow.unreachable] == ["outbox", "producer 0", "Kafka"]
    of_those = ("outbox_rows", "outbox_oldest_s", "parked", "published_per_s", "relay_active", "lag", "written_per_s")
    assert {getattr(flow, name) for name in of_those} == {None}
    assert flow.delivered_per_s == 0

    world.workers = [None, None]
    await world.look()
    flow = overview.now()

    of_workers = ("delivered_per_s", "calls_per_s", "unfinished", "latency_p50_s", "quota", "dead_letters_per_min")
    assert {getattr(flow, name) for name in of_workers} == {None}
    assert (flow.workers_known, flow.workers, flow.some_workers_unknown) == (0, 2, False)


async def test_sums_of_a_part_of_the_workers_say_so() -> None:
    world = World(workers=[worker(0), None])
    overview = world.overview()
    await world.look()

    assert overview.now().some_workers_unknown


async def test_a_halt_that_all_workers_tell_is_told_once_and_not_as_unwell_too() -> None:
    told = {"halted": HALT, "unwell": {"hubspot": "halted", "kafka": "no broker answers"}}
    world = World(workers=[worker(0, **told), worker(0, **told)])
    overview = world.overview()
    await world.look()

    flow = overview.now()

    assert flow.halts == (HALT,)
    assert flow.unwell == tuple(Unwell(f"worker {number}", "kafka", "no broker answers") for number in (0, 1))


@pytest.mark.parametrize(
    ("mode", "settings", "other"),
    [
        ("live", {"CONSUMER_GROUP": "ours"}, None),
        ("live", {"CONSUMER_GROUP": "theirs"}, "theirs"),
        ("dry_run", {"CONSUMER_GROUP": "ours"}, "ours-dry-run"),
        ("disabled", {"CONSUMER_GROUP": "theirs"}, None),
        ("live", {}, None),
    ],
)
async def test_a_worker_that_reads_for_another_group_than_that_of_the_lag_is_named(
    mode: str, settings: Mapping[str, str], other: str | None
) -> None:
    world = World(workers=[worker(0, mode=mode, settings=settings), None])
    overview = world.overview()
    await world.look()

    flow = overview.now()

    assert (flow.group, flow.other_groups) == ("ours", {"worker 0": other} if other else {})
    assert ('data-problem="group:worker 0"' in page_of(overview)) == bool(other)


async def test_a_worker_with_another_portal_than_the_console_is_named_with_both_values() -> None:
    ours = ours_of(ConsumerSettings())
    same: dict[str, Any] = {"mode": "disabled", "settings": ours}
    other = {**same, "settings": {**ours, "HUBSPOT_PORTAL_ID": 4712}}
    world = World(workers=[worker(0, **same), worker(0, **other)], ours=ours)
    overview = world.overview()
    await world.look()

    [found] = overview.now().differing

    assert (found.worker, found.values) == ("worker 1", "HUBSPOT_PORTAL_ID is not set here and 4712 there")


async def asked(status: str, metrics: str) -> Report:
    """Return the report of a worker that answers with these texts."""

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text=metrics if request.url.path == "/metrics" else status)

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        return await ask_worker(http, "http://worker.example.com")


@pytest.mark.parametrize(
    "status",
    [
        "<html>",
        "[" * 100_000,
        "[]",
        "{}",
        *(
            json.dumps(told(**{name: odd}))
            for name in ("unwell", "halted", "quota", "in_flight", "contacts")
            for odd in (7, "x", [1], {"events": "x", "limit": None, "reason": 1})
        ),
        json.dumps(told(mode=None)),
        json.dumps(told(version=["0.1.0"])),
        json.dumps(told(in_flight={"events": float("nan")})),
        json.dumps(told(halted={"reason": "paused"})),
        json.dumps(told(quota={**told()["quota"], "daily_resets_at": "tomorrow"})),
    ],
)
async def test_an_answer_that_no_page_could_show_is_none(status: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - a source takes each of them as no answer
        await asked(status, "")


# The status of a worker of commit d09b22c, beside which this console may run: it tells no version, and nothing lent.
OLDER = {
    "mode": "live",
    "settings": {"CONSUMER_GROUP": "ours"},
    "timeline": "custom_events",
    "suppressed": 0,
    "properties_left_out": [],
    "properties_kept_by_hubspot": [],
    "unwell": {},
    "halted": None,
    "reprocessing": {"run": "r1", "command": "replay", "quota_share": 0.5, "contacts_held": 0},
    "quota": {
        "limit": 100,
        "window_s": 10.0,
        "share": 0.5,
        "used": 0,
        "left": 50,
        "daily_limit": 250_000,
        "daily_remaining": 250_000,
        "daily_resets_at": "2026-11-25T05:00:00+00:00",
    },
    "lag": {"lifecycle.nova_earned": 0},
    "in_flight": {"events": 0, "calls": 0},
    "contacts": {"ready": 0, "new": 0, "waiting_for_look_up": 0, "backing_off": 0, "held": 0, "holes_released": 0},
    "dead_letters": {},
    "receipts": {"written": 1, "waiting": 0, "dropped": 0},
}


@pytest.mark.parametrize("without", [(), ("settings", "reprocessing")])
async def test_a_worker_of_an_older_version_is_shown_with_what_it_tells(without: tuple[str, ...]) -> None:
    status = {name: value for name, value in OLDER.items() if name not in without}
    world = World(workers=[await asked(json.dumps(status), ""), None])
    overview = world.overview()
    await world.look()

    [_, shown] = overview.now().one_by_one

    assert (shown.version, shown.partitions, shown.mode) == (None, 0.5, "live")
    assert '<tr data-worker="0">' in page_of(overview)


@pytest.mark.parametrize("halted", [None, {**HALT, "behind": None}, {**HALT, "since": "…"}])
async def test_a_status_with_more_than_a_page_needs_is_shown_and_figures_that_are_none_are_not(
    halted: Mapping[str, Any] | None,
) -> None:
    metrics = (
        'hubspot_consumer_calls_total{status="200"} NaN\nhubspot_consumer_calls_total{status="429"} 2\n'
        'hubspot_consumer_event_age_seconds_bucket{le="x"} 1\nhubspot_consumer_event_age_seconds_bucket{le="NaN"} 1\n'
        "hubspot_consumer_event_age_seconds_bucket 1\n"
    )
    report = await asked(json.dumps(told(halted=halted, quota=None, more=[1])), metrics)

    assert report.metrics.total("hubspot_consumer_calls_total") == 2
    assert report.metrics.buckets("hubspot_consumer_event_age_seconds") == [(inf, 3)]
    world = World(workers=[report, None])
    overview = world.overview()
    await world.look()
    banner = View(overview.now)._templates.env.get_template("banner.html").render(banner=overview.now())
    assert ("Halted: nothing is sent to HubSpot." in banner) == bool(halted)
    assert page_of(overview)


@pytest.mark.parametrize(
    ("workers", "of_producer", "shown"),
    [
        ((OURS, OURS), OURS, None),
        ((OURS, "0.2.0"), OURS, f"producers run {OURS}, consumers run {OURS} and 0.2.0, this console runs {OURS}."),
        ((None, OURS), OURS, f"consumers run {OURS} and an older version, this console runs {OURS}."),
        ((None, None), None, "producers run an older version, consumers run an older version, this console runs "),
        (("<b>", "<b>"), OURS, "consumers run &lt;b&gt;, this console"),
    ],
)
async def test_versions_that_differ_are_named_by_who_runs_them(
    workers: tuple[str | None, str | None],
    of_producer: str | None,
    shown: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(flow_module, "program_version", lambda: OURS)
    one, two = (told_by(version) for version in workers)
    world = World(workers=[worker(0, **one), worker(0, **two)])
    world.producer = Report({"unwell": {}, **told_by(of_producer)}, Exposition({}))
    overview = world.overview()
    await world.look()

    page = page_of(overview)

    assert ('data-problem="versions"' in page) == (shown is not None)
    assert (shown or "") in page


async def test_services_that_do_not_answer_have_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_module, "program_version", lambda: "0.1.0")
    world = World(workers=[worker(0, version="0.2.0"), None])
    world.producer = None
    overview = world.overview()
    await world.look()

    flow = overview.now()

    assert flow.versions == {"producers": [], "consumers": ["0.2.0"], "this console": ["0.1.0"]}
    assert "one version:</strong> consumers run 0.2.0, this console runs 0.1.0." in page_of(overview)


def told_by(version: str | None) -> dict[str, str | None]:
    """Return what a service of this version tells of it; version 0.1.0 told nothing at first."""
    return {"version": version}


@given(st.lists(st.floats(0.001, 100), min_size=1, max_size=200), st.sampled_from([0.5, 0.99]))
def test_a_quantile_is_between_the_bounds_that_hold_it(values: list[float], share: float) -> None:
    registry = CollectorRegistry()
    histogram = Histogram("age", "of events", registry=registry, buckets=(0.01, 0.1, 1, 10, 1000))
    for value in values:
        histogram.observe(value)
    buckets = Exposition.read(generate_latest(registry).decode()).buckets("age")

    found = quantile(share, buckets)

    exact = sorted(values)[max(0, ceil(len(values) * share) - 1)]
    bounds = [0.0, *(bound for bound, _ in buckets)]
    low = max(bound for bound in bounds if bound < exact)
    high = min(bound for bound in bounds if bound >= exact)
    assert found is not None
    assert low <= found <= high


@pytest.mark.parametrize(
    ("buckets", "found"), [([], None), ([(1.0, 0.0)], None), ([(1.0, 0.0), (float("inf"), 5.0)], 1.0)]
)
def test_of_nothing_there_is_no_quantile_and_beyond_the_last_bound_it_is_that(
    buckets: list[tuple[float, float]], found: float | None
) -> None:
    assert quantile(0.5, buckets) == found


def test_buckets_that_began_anew_have_not_risen() -> None:
    assert list(risen([(1.0, 2.0), (2.0, 9.0)], [(1.0, 1.0)])) == [(1.0, 1.0), (2.0, 9.0)]
    assert list(risen([(1.0, 2.0)], [(1.0, 3.0)])) == []
