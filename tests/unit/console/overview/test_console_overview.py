"""The overview's figures: sums of what is known, and None for what nobody knows."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import ceil, inf
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from console.overview import flow as flow_module
from console.overview.backlog import OutboxBacklog, TopicsBacklog
from console.overview.flow import Overview
from console.overview.services import Exposition, Report, ask_worker, quantile, risen
from console.overview.source import ProcessSources, Source
from console.shared_settings import ours_of
from console.web.view import View
from hubspot_consumer.settings import Settings as ConsumerSettings
from tests.clock import OwnedClock

OURS = "0.1.0 (abc1234)"
HALT = {"reason": "token_refused", "detail": "401", "since": "…", "next_probe": "…"}


def worker(delivered: float, **changes: Any) -> Report:
    status: dict[str, Any] = {
        "mode": "live",
        "unwell": {},
        "halted": None,
        "quota": {
            "limit": 100,
            "window_s": 10,
            "used": 7,
            "daily_limit": 250_000,
            "daily_remaining": 200_000,
            "daily_resets_at": "2026-11-25T05:00:00+00:00",
        },
        "in_flight": {"events": 3, "calls": 1},
        "contacts": {"ready": 1, "held": 2},
    }
    samples: Mapping[str, Any] = {
        "hubspot_consumer_events_delivered_total": [({"type": "nova_earned"}, delivered)],
        "hubspot_consumer_calls_total": [({"kind": "upsert", "status": "200"}, delivered / 10)],
        "hubspot_consumer_event_age_seconds_bucket": [({"le": "1"}, delivered), ({"le": "+Inf"}, delivered)],
    }
    return Report({**status, **changes}, Exposition(samples))


def producer(published: float, **unwell: str) -> Report:
    samples: Mapping[str, Any] = {
        "producer_events_published_total": [({"type": "nova_earned"}, published)],
        "producer_relay_active": [({}, 1.0)],
    }
    return Report({"unwell": unwell}, Exposition(samples))


@dataclass
class World:
    """What the console looks at; a part that is None does not answer."""

    clock: OwnedClock = field(default_factory=OwnedClock)
    workers: list[Report | None] = field(default_factory=lambda: [worker(0), worker(0)])
    producer: Report | None = field(default_factory=lambda: producer(0))
    topics: TopicsBacklog | None = field(default_factory=lambda: TopicsBacklog({"lifecycle.nova_earned": 4}, 100))
    outbox: OutboxBacklog | None = field(default_factory=lambda: OutboxBacklog(2, timedelta(seconds=9), 5))

    def overview(self) -> Overview:
        def asking(part: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
            async def ask(*address: str) -> Any:
                if (answer := part(*address)) is None:
                    raise TimeoutError
                return answer

            return ask

        workers = ProcessSources("worker", ["0", "1"], asking(lambda number: self.workers[int(number)]), self.clock)
        producers = ProcessSources("producer", ["0"], asking(lambda _: self.producer), self.clock)
        topics = Source("Kafka", asking(lambda: self.topics), self.clock)
        outbox = Source("outbox", asking(lambda: self.outbox), self.clock)
        self.sources: list[Source[Any]] = [*workers, *producers, topics, outbox]
        return Overview(
            producers=producers,
            workers=workers,
            topics=topics,
            outbox=outbox,
            group="ours",
            ours=ours_of(ConsumerSettings()),
            clock=self.clock,
        )

    async def look(self) -> None:
        for source in self.sources:
            await source.look()


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
    assert flow.unwell == ("worker 0: kafka: no broker answers", "worker 1: kafka: no broker answers")


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
    page = View()._templates.env.get_template("overview_live.html").render(flow=flow)
    assert ('data-other-group="worker 0"' in page) == bool(other)


async def test_a_worker_with_another_portal_than_the_console_is_named_with_both_values() -> None:
    ours = ours_of(ConsumerSettings())
    same: dict[str, Any] = {"mode": "disabled", "settings": ours}
    other = {**same, "settings": {**ours, "HUBSPOT_PORTAL_ID": 4712}}
    world = World(workers=[worker(0, **same), worker(0, **other)])
    overview = world.overview()
    await world.look()

    [found] = overview.now().differing

    assert (found.worker, found.values) == ("worker 1", "HUBSPOT_PORTAL_ID is not set here and 4712 there")


def told(**changes: Any) -> dict[str, Any]:
    """Return the status of a worker, with *changes*."""
    return dict(worker(0, **changes).status)


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


@pytest.mark.parametrize("halted", [None, {**HALT, "behind": None}])
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
    assert View(overview.now)._templates.env.get_template("banner.html").render(banner=overview.now())


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

    page = View()._templates.env.get_template("overview_live.html").render(flow=overview.now())

    assert ("data-versions" in page) == (shown is not None)
    assert (shown or "") in page


async def test_services_that_do_not_answer_have_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_module, "program_version", lambda: "0.1.0")
    world = World(workers=[worker(0, version="0.2.0"), None])
    world.producer = None
    overview = world.overview()
    await world.look()

    flow = overview.now()

    assert flow.versions == {"producers": [], "consumers": ["0.2.0"], "this console": ["0.1.0"]}
    page = View()._templates.env.get_template("overview_live.html").render(flow=flow)
    assert "one version: consumers run 0.2.0, this console runs 0.1.0." in page


def told_by(version: str | None) -> dict[str, str]:
    """Return what a service of this version tells of it; version 0.1.0 told nothing at first."""
    return {} if version is None else {"version": version}


async def test_the_charts_have_a_gap_where_nobody_could_tell() -> None:
    world = World()
    overview = world.overview()
    sampling = overview._sample()
    await world.look()
    for outbox in (OutboxBacklog(3, None, 0), None, OutboxBacklog(4, None, 0)):
        world.outbox = outbox
        await world.look()
        overview.samples.append(overview.now())
        world.clock.advance(5)
    sampling.close()

    charts = overview.charts()

    assert charts["outbox_rows"] == [3, None, 4]
    assert [round(at - (charts["at"][0] or 0)) for at in charts["at"] if at is not None] == [0, 5, 10]


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
