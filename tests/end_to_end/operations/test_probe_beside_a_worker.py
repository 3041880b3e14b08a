"""The probe beside a worker that uses the whole quota: the worker leaves it a share, and neither gets a 429."""

import json

import pytest

from tests.pipeline import Pipeline
from tests.polling import eventually

pytestmark = pytest.mark.timeout(180)

QUOTA = 50
BACKLOG = 12_000
SIGN_UP = """
SELECT track_lifecycle_event('driver_signed_up', jsonb_build_object('user_id', 'usr_' || n, 'email',
    'driver' || n || '@example.com', 'auth_provider', 'apple', 'created_at', '2026-11-24T03:00:00Z'))
FROM generate_series(1, %s) AS n
"""


@pytest.mark.chaos
async def test_a_probe_beside_a_busy_worker_brings_no_429_and_finds_what_is_there(pipeline: Pipeline) -> None:
    await pipeline.simulator.change_settings(quota=QUOTA)
    async with await pipeline.connect() as connection:
        await connection.execute(SIGN_UP, [BACKLOG])
    for service in (pipeline.producer(), pipeline.consumer()):
        await service.launch_and_wait()

    async def busy() -> bool:
        most: int = (await pipeline.simulator.statistics())["most_calls_in_a_window"]
        return most >= QUOTA * 0.9

    await eventually(busy, within_s=60, every_s=0.5, saying="the worker uses the quota")
    done = await pipeline.run("probe", "--yes", "--json", "--rate-share", "0.5")

    told = json.loads(done.output)
    assert done.code == 0, done
    assert {one["told"] for one in told["questions"]} == {"as_expected"}
    assert (await pipeline.simulator.statistics())["rate_limited_by_quota"] == 0
    status = await pipeline.run("doctor", "--json")
    [finding] = [one for one in json.loads(status.output)["findings"] if one["name"] == "probe"]
    assert finding["level"] == "ok"
