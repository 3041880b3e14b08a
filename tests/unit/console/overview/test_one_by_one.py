"""The workers one by one: their shares, and which of them is slow."""

from dataclasses import replace
from typing import Any

from console.overview.services import Exposition, Report
from tests.console.world import HALT, World, page_of, told, worker

FAST, SLOW = (1.0, 10.0), (10.0, 60.0)


def with_latency(delivered: float, bucket: tuple[float, float], **changes: Any) -> Report:
    """Return a worker all of whose events took a time within *bucket*."""
    report = worker(delivered, **changes)
    below, bound = bucket
    name = "hubspot_consumer_event_age_seconds_bucket"
    counts = [({"le": str(below)}, 0.0), ({"le": str(bound)}, delivered), ({"le": "+Inf"}, delivered)]
    return Report(report.status, Exposition({**report.metrics.samples, name: counts}))


async def test_each_worker_has_its_share_of_the_partitions_and_of_the_calls() -> None:
    quotas = [{**told()["quota"], "share": share, "lent": lent} for share, lent in ((0.75, 0), (0.2, 0.2))]
    one, two = ({"quota": quota, "version": "0.1.0"} for quota in quotas)
    world = World(workers=[worker(0, **one), worker(0, **two)])
    overview = world.overview()
    await world.look()
    world.clock.advance(2)
    world.workers = [worker(60, **one), worker(20, **two)]
    await world.look()

    found = {each.address: each for each in overview.now().one_by_one}

    assert (found["0"].partitions, found["1"].partitions) == (0.75, 0.25)
    assert (found["0"].calls, found["1"].calls) == (0.75, 0.25)
    assert (found["0"].delivered_per_s, found["0"].version, found["0"].unfinished) == (30, "0.1.0", 3)
    assert '75 <span class="unit">%</span>' in page_of(overview)


async def test_a_worker_that_takes_much_longer_than_the_others_is_marked_and_comes_first() -> None:
    world = World(workers=[with_latency(0, FAST), with_latency(0, SLOW)])
    overview = world.overview()
    await world.look()
    world.clock.advance(2)
    world.workers = [with_latency(50, FAST), with_latency(50, SLOW)]
    await world.look()

    slow, fast = overview.now().one_by_one

    assert (slow.address, fast.address) == ("1", "0")
    assert (slow.slow, fast.slow) == ("takes 35.0 s from commit to HubSpot, the others 5.5 s", "")
    assert [problem.title for problem in overview.seen().problems] == ["Worker 1 is slow"]
    assert '<tr data-worker="1" class="slow">' in page_of(overview)


async def test_workers_that_take_alike_are_not_marked_and_neither_is_a_single_one() -> None:
    for workers in ([FAST, FAST], [SLOW, None]):
        world = World(workers=[with_latency(0, each) if each else None for each in workers])
        overview = world.overview()
        await world.look()
        world.clock.advance(2)
        world.workers = [with_latency(50, each) if each else None for each in workers]
        await world.look()

        assert not any(each.slow for each in overview.now().one_by_one)


async def test_a_worker_that_finishes_nothing_for_a_minute_while_others_do_is_marked_unless_it_is_halted() -> None:
    for halted, marked in ((None, True), (HALT, False)):
        world = World()
        overview = world.overview()
        for number in range(31):
            world.workers = [worker(number * 10), worker(7, halted=halted)]
            await world.look()
            world.clock.advance(2)
        world.clock.advance(-2)

        found = {each.address: each.slow for each in overview.now().one_by_one}

        assert found["0"] == ""
        assert found["1"].startswith("has events in memory, and has delivered none for a minute") == marked


async def test_a_worker_of_an_older_version_that_tells_no_share_is_shown() -> None:
    world = World(workers=[worker(0, version=None), None])
    overview = world.overview()
    await world.look()

    away, known = overview.now().one_by_one

    assert (away.trouble, known.partitions, known.version) == ("does not answer in time", None, None)
    assert "an older version" in page_of(overview)


def test_a_worker_in_trouble_comes_before_a_slow_one() -> None:
    figures = World().overview().now().one_by_one

    slow, away = replace(figures[0], trouble=None, slow="takes long"), figures[1]
    assert sorted([slow, away], key=lambda each: each.urgency, reverse=True) == [away, slow]
