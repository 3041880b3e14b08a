"""The doctor beside a worker that uses the whole quota: its calls bring neither of them a 429."""

import json

import pytest

from tests.commands import run
from tests.pipeline import Pipeline
from tests.polling import eventually

pytestmark = pytest.mark.timeout(180)

# Small, so that the doctor's calls are a tenth of it.
QUOTA = 50
BACKLOG = 9_000
SIGN_UP = """
SELECT track_lifecycle_event('driver_signed_up', jsonb_build_object('user_id', 'usr_' || n, 'email',
    'driver' || n || '@example.com', 'auth_provider', 'apple', 'created_at', '2026-11-24T03:00:00Z'))
FROM generate_series(1, %s) AS n
"""


@pytest.mark.chaos
async def test_a_doctor_beside_a_busy_worker_brings_no_429(pipeline: Pipeline) -> None:
    await pipeline.simulator.change_settings(quota=QUOTA)
    async with await pipeline.connect() as connection:
        await connection.execute(SIGN_UP, [BACKLOG])
    for service in (pipeline.producer(), pipeline.consumer()):
        await service.launch_and_wait()

    async def busy() -> bool:
        most: int = (await pipeline.simulator.statistics())["most_calls_in_a_window"]
        return most >= QUOTA * 0.9

    await eventually(busy, within_s=60, every_s=0.5, saying="the worker uses the quota")
    done = await run("hubspot_consumer", "doctor", "--json", environment=pipeline.environment)

    findings = {finding["name"]: finding for finding in json.loads(done.output)["findings"]}
    assert "not acked" in findings["lag"]["what"]
    # The tests' broker creates what it is asked about, which the doctor is right to tell.
    assert {name for name, one in findings.items() if one["level"] in ("warn", "fail")} == {"auto_create"}, done.output
    assert (await pipeline.simulator.statistics())["rate_limited_by_quota"] == 0
