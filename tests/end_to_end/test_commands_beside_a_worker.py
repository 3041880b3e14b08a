"""Doctor and probe beside a worker that uses the whole quota: their calls bring neither of them a 429."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.pipeline import Pipeline
from tests.polling import eventually

pytestmark = [pytest.mark.timeout(180), pytest.mark.chaos]

# Small, so that the doctor's calls are a tenth of it.
QUOTA = 50
BACKLOG = 12_000
SIGN_UP = """
SELECT track_lifecycle_event('driver_signed_up', jsonb_build_object('user_id', 'usr_' || n, 'email',
    'driver' || n || '@example.com', 'auth_provider', 'apple', 'created_at', '2026-11-24T03:00:00Z'))
FROM generate_series(1, %s) AS n
"""


@pytest.fixture
async def busy(pipeline: Pipeline) -> AsyncIterator[Pipeline]:
    """A pipeline whose worker uses the whole quota; afterwards, HubSpot has refused no call for it."""
    await pipeline.simulator.change_settings(quota=QUOTA)
    async with await pipeline.connect() as connection:
        await connection.execute(SIGN_UP, [BACKLOG])
    for service in (pipeline.producer(), pipeline.consumer()):
        await service.launch_and_wait()

    async def uses_the_quota() -> bool:
        most: int = (await pipeline.simulator.statistics())["most_calls_in_a_window"]
        return most >= QUOTA * 0.9

    await eventually(uses_the_quota, within_s=60, every_s=0.5, saying="the worker uses the quota")
    yield pipeline
    assert (await pipeline.simulator.statistics())["rate_limited_by_quota"] == 0


async def findings(pipeline: Pipeline) -> dict[str, Any]:
    done = await pipeline.run("doctor", "--json")
    return {finding["name"]: finding for finding in json.loads(done.output)["findings"]}


async def test_a_doctor_beside_a_busy_worker_brings_no_429(busy: Pipeline) -> None:
    found = await findings(busy)

    assert "not acked" in found["lag"]["what"]
    # The tests' broker creates what it is asked about, which the doctor is right to tell.
    assert {name for name, one in found.items() if one["level"] in ("warn", "fail")} == {"auto_create"}, found


async def test_a_probe_beside_a_busy_worker_brings_no_429_and_finds_what_is_there(busy: Pipeline) -> None:
    done = await busy.run("probe", "--yes", "--json", "--rate-share", "0.5")

    assert done.code == 0, done
    found = {(one["told"], one["what"]) for one in json.loads(done.output)["questions"] if one["told"] != "as_expected"}
    assert found <= {("not_told", "not asked: HUBSPOT_ID_PROPERTY is email")}
    assert (await findings(busy))["probe"]["level"] == "ok"
