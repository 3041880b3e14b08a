"""The page of replays: the range among the events, the ranges that people ask for, and a replay as it was planned."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path

import pytest

from console.runs.ranges import Stop
from tests.clock import START
from tests.unit.console.test_console_dead_letters import Operator, signed_in_operator


@pytest.fixture
async def operator(tmp_path: Path) -> AsyncIterator[Operator]:
    async for made in signed_in_operator(tmp_path):
        yield made


async def test_a_replay_is_started_as_it_was_planned(operator: Operator, tmp_path: Path) -> None:
    form = {"from": "since", "since": "24h", "until": "1h", "type": ["nova_earned", "x"], "share": "25"}
    planned = await operator.commanded("/replay/plan", **form)
    [run] = operator.runs.all("replay_plan")
    operator.clock.advance(600)
    started = await operator.commanded("/replay/start", plan=run.id, fresh="yes")

    folder = f"--folder={tmp_path / 'reprocessing'}"
    # The ages of the plan, whenever it is done.
    times = "--since=2026-11-23T00:00:00Z --until=2026-11-23T23:00:00Z"
    same = f"replay {times} --event-type=nova_earned --rate-share=0.25 --no-timeline"
    assert planned == f"{same} {folder} --dry-run --json --progress=json"
    assert started == f"{same} --fresh {folder} --yes --json --progress=json"
    assert 'value="2026-11-23T00:00:00Z"' in (await operator.see(f"/replay?again={run.id}")).text


async def test_a_plan_of_everything_leaves_since_out(operator: Operator) -> None:
    said = await operator.commanded(
        "/replay/plan", **{"from": "earliest", "since": "", "share": "30", "timeline": "yes"}
    )

    assert said.startswith("replay --from-earliest --rate-share=0.3 --timeline --folder=")


async def test_the_range_is_shown_among_the_events_and_of_a_run_as_it_began(operator: Operator) -> None:
    form = {"from": "since", "since": "2h", "type": ["nova_earned"], "share": "25"}
    await operator.commanded("/replay/plan", **form)
    [run] = operator.runs.all("replay_plan")
    operator.clock.advance(600)

    of_run = (await operator.see(f"/replay/picture?run={run.id}")).text
    of_form = (await operator.see("/replay/picture?since=2026-11-23&until=1h&type=nova_earned&type=x")).text

    assert operator.times.asked == [
        (START - timedelta(hours=2), START, ["nova_earned"]),
        (datetime(2026, 11, 23, tzinfo=UTC), START - timedelta(seconds=3000), ["nova_earned"]),
    ]
    assert 'data-picture="chosen">3<' in of_run
    assert of_run.count('class="in"') == 2
    assert "hx-get" not in of_run
    assert 'hx-trigger="change from:#replay' in of_form
    # Without JavaScript, the page has it when it is asked for it.
    [address] = re.findall(r'<noscript><p><a href="([^"]+)"', (await operator.see("/replay")).text)
    assert 'data-picture="chosen">3<' in (await operator.see(address.replace("&amp;", "&"))).text


async def test_a_range_that_can_not_be_shown_is_told(operator: Operator) -> None:
    operator.times.trouble = "Kafka does not answer"

    assert "They can't be counted now: Kafka does not answer." in (await operator.see("/replay/picture")).text
    assert "a time that is none" in (await operator.see("/replay/picture?since=yesterday")).text


async def test_ranges_that_people_ask_for_are_one_click_away_and_keep_the_types(operator: Operator) -> None:
    operator.clock.advance(3 * 3600)
    operator.stops = [
        Stop("halt", START - timedelta(hours=2), goes_on=False),
        Stop("pause", START + timedelta(hours=1), goes_on=True),
        Stop("halt", START - timedelta(hours=9), goes_on=False),
    ]
    page = (await operator.see("/replay?type=nova_earned")).text

    found = dict(re.findall(r'href="/replay\?([^"]*)"[^>]*>([a-z0-9 ]+)<', page))
    assert {name: unescape(query) for query, name in found.items()} == {
        "since the last halt began": "from=since&since=2026-11-23T22%3A00%3A00.000Z&type=nova_earned",
        "since the pause began": "from=since&since=2026-11-24T01%3A00%3A00.000Z&type=nova_earned",
        "last hour": "from=since&since=1h&type=nova_earned",
        "last 24 hours": "from=since&since=24h&type=nova_earned",
        "yesterday": (
            "from=since&since=2026-11-23T00%3A00%3A00.000Z&until=2026-11-23T23%3A59%3A59.999Z&type=nova_earned"
        ),
        "last 7 days": "from=since&since=7d&type=nova_earned",
        "all events": "from=earliest&type=nova_earned",
    }
    yesterday = (await operator.see("/replay?from=since&since=2026-11-23T00:00:00.000Z&type=nova_earned")).text
    assert 'name="since" value="2026-11-23T00:00:00.000Z"' in yesterday
    assert 'value="nova_earned" checked' in yesterday
