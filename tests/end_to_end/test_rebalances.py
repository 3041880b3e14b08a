"""Partitions change hands while nothing of them is committed yet, and every event of theirs is read all the same."""

from collections.abc import Sequence
from datetime import UTC, datetime

import psycopg
import pytest

from sandbox.services import Service
from tests.pipeline import Pipeline
from tests.polling import eventually

pytestmark = pytest.mark.timeout(300)

CONTACTS = 200
EVENTS = 2 * CONTACTS
SLOW = "tests.workers.slow_assignment_worker"

TRACK = """
SELECT track_lifecycle_event('driver_signed_up', jsonb_build_object('user_id', %(set)s || n, 'email',
    %(set)s || n || '@example.com', 'auth_provider', 'apple', 'created_at', %(at)s::text)),
track_lifecycle_event('nova_earned', jsonb_build_object('user_id', %(set)s || n, 'amount_cents', 5,
    'session_id', 'ses_1', 'new_balance_cents', 5, 'earned_at', %(at)s::text))
FROM generate_series(1, %(contacts)s) AS n
"""


async def track(pipeline: Pipeline, contacts: str) -> None:
    """Commit two events of each contact of a set, and return when the relay has published them."""
    async with await psycopg.AsyncConnection.connect(pipeline.database_url, autocommit=True) as connection:
        at = datetime.now(UTC).isoformat()
        await connection.execute(TRACK, {"set": contacts, "contacts": CONTACTS, "at": at})
    await pipeline.until_published()


async def reading(worker: Service, events: int) -> None:
    """Return when a worker has read so many events and finished none of them."""

    async def reads() -> bool:
        return int((await worker.status()).get("in_flight", {}).get("events", 0)) >= events

    await eventually(reads, within_s=40, every_s=0.2, saying=f"{events} events are read")


async def paused(worker: Service) -> None:
    async def says() -> bool:
        return bool((await worker.status()).get("halted"))

    await eventually(says, within_s=40, every_s=0.2, saying="the worker is paused")


async def assigned(worker: Service, times: int) -> None:
    async def heard() -> bool:
        return worker.log.read_text().count("worker.assigned") >= times

    await eventually(heard, within_s=60, every_s=0.2, saying=f"{times} assignments")


@pytest.mark.parametrize(
    ("joining", "sets_before"),
    [
        pytest.param(1, (), id="one-rebalance-nothing-committed"),
        pytest.param(3, (), id="several-nothing-committed", marks=pytest.mark.chaos),
        pytest.param(3, ("before",), id="several-after-commits", marks=pytest.mark.chaos),
        pytest.param(1, ("before",), id="one-rebalance-after-commits", marks=pytest.mark.chaos),
    ],
)
async def test_every_event_is_read_whenever_partitions_are_assigned_anew(
    pipeline: Pipeline, joining: int, sets_before: Sequence[str]
) -> None:
    producer, first = pipeline.producer(), pipeline.program(SLOW)
    await producer.launch_and_wait()
    for contacts in sets_before:
        await track(pipeline, contacts)
        first.launch()
        await pipeline.until_finished()
    await pipeline.run("pause", "--note", "nothing more is committed")
    if not first.running:
        first.launch()
    await paused(first)
    await track(pipeline, "early")
    await reading(first, EVENTS)

    # Each joins while the assignment before is being handled.
    for number in range(1, joining + 1):
        pipeline.program(SLOW).launch()
        await assigned(first, number + 1)
    await pipeline.run("resume")
    expected = EVENTS * (len(sets_before) + 1)

    await pipeline.until_arrived(expected, within_s=60)
    await track(pipeline, "late")
    await pipeline.until_arrived(expected + EVENTS, within_s=60)
    findings, dead = await pipeline.findings()
    assert (bool(findings), list(dead)) == (False, [])
    await pipeline.until_finished()
