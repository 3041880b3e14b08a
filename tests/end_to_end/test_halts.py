"""Halts: sending stops, says why and until when, burns no event into dead letters, and resumes by itself."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from sandbox.services import Service
from sandbox.stack import create_topics
from tests.pipeline import Pipeline
from tests.polling import eventually

pytestmark = pytest.mark.timeout(180)

UNAVAILABLE: dict[str, dict[str, Any]] = {"answer": {"kind": "status", "status": 503, "style": "html"}}


async def halted(worker: Service, reason: str) -> dict[str, str]:
    """Return the halt when the worker reports one for *reason*."""

    async def reported() -> dict[str, str] | None:
        halt: dict[str, str] | None = (await worker.status()).get("halted")
        return halt if halt and halt["reason"] == reason else None

    found = await eventually(reported, within_s=60, saying=f"the worker halts: {reason}")
    assert found is not None
    return found


async def running(pipeline: Pipeline, **environment: str) -> Service:
    producer, worker = pipeline.producer(), pipeline.consumer(**environment)
    await asyncio.gather(producer.launch_and_wait(), worker.launch_and_wait())
    return worker


@pytest.mark.parametrize(
    ("status", "says"),
    # tests/contract/test_outage.py has both, on virtual time.
    [(503, "503"), pytest.param(200, "text/html: something else answers in HubSpot's place", marks=pytest.mark.chaos)],
)
async def test_an_outage_opens_the_circuit_and_closes_it_within_seconds_of_its_end(
    pipeline: Pipeline, status: int, says: str
) -> None:
    worker = await running(pipeline)
    await pipeline.simulator.add_fault({"answer": UNAVAILABLE["answer"] | {"status": status}})
    await pipeline.commit(300)

    halt = await halted(worker, "hubspot_unavailable")
    assert says in halt["detail"]
    assert datetime.fromisoformat(halt["next_probe"]) <= datetime.now(UTC) + timedelta(seconds=8)
    http_status, health = await worker.health()
    assert [http_status, await worker.live()] == [200, 200]
    assert says in str(health)
    async with httpx.AsyncClient() as http:
        metrics = (await http.get(f"{worker.url}/metrics")).text
    assert 'hubspot_consumer_halted{reason="hubspot_unavailable"} 1.0' in metrics

    await pipeline.simulator.remove_faults()
    await pipeline.all_arrive(dead=1, within_s=20)
    await eventually(worker.sending, saying="health is well again")
    findings, dead = await pipeline.findings()
    assert not findings
    assert [letter.reason for letter in dead] == ["invalid_envelope"]


@pytest.mark.chaos
@pytest.mark.timeout(1_200)
async def test_an_outage_of_ten_minutes_with_a_full_buffer_leaves_no_dead_letter(pipeline: Pipeline) -> None:
    # Longer than every timeout of the consumer group; more events than the worker holds.
    worker = await running(pipeline)
    await pipeline.simulator.add_fault(UNAVAILABLE)
    await pipeline.commit(20_000)
    await halted(worker, "hubspot_unavailable")
    await asyncio.sleep(600)

    await pipeline.simulator.remove_faults()
    ended = time.monotonic()
    await pipeline.until_arrived(1, within_s=15)
    resumed_s = time.monotonic() - ended
    await pipeline.all_arrive(dead=1, within_s=120)

    findings, dead = await pipeline.findings()
    assert not findings
    assert [letter.reason for letter in dead] == ["invalid_envelope"]
    assert (await pipeline.simulator.statistics())["rate_limited_by_quota"] == 0
    assert resumed_s < 15


async def test_too_many_rejections_halt_before_a_topic_is_emptied_into_dead_letters(pipeline: Pipeline) -> None:
    worker = await running(pipeline, DEAD_LETTER_LIMIT="5")
    broken: dict[str, Any] = {"answer": {"kind": "status", "status": 400}, "match": {"path": "/contacts/batch/upsert"}}
    await pipeline.simulator.add_fault(broken)
    await pipeline.simulator.add_fault(broken | {"match": {"path": "/contacts/batch/create"}})
    await pipeline.commit(300)

    halt = await halted(worker, "too_many_dead_letters")
    assert halt["detail"].startswith("5 events rejected within an hour")

    await pipeline.simulator.remove_faults()
    await pipeline.all_accounted_for(within_s=90)
    findings, dead = await pipeline.findings()
    assert not findings.lost
    # Several events of one contact count as one.
    assert len({letter.key for letter in dead if letter.reason == "rejected_by_hubspot"}) == 5
    assert [letter.reason for letter in dead if letter.reason != "rejected_by_hubspot"] == ["invalid_envelope"]


async def test_a_spent_day_halts_until_the_portals_midnight_and_calls_nothing_before(pipeline: Pipeline) -> None:
    # In a zone where it is noon: within minutes of a midnight, the worker asks more often.
    zone = f"Etc/GMT{datetime.now(UTC).hour - 12:+}"
    await pipeline.simulator.change_settings(time_zone=zone)
    worker = await running(pipeline)
    await pipeline.commit(100, seed=1)
    await pipeline.all_arrive(dead=1)
    await pipeline.simulator.change_settings(daily_limit=(await pipeline.simulator.statistics())["used_today"])
    await pipeline.commit(100, seed=2)

    halt = await halted(worker, "daily_quota_spent")
    await eventually(lambda: _until_midnight(worker, zone), saying="the next probe is at the portal's midnight")
    calls = (await pipeline.simulator.statistics())["calls"]
    await asyncio.sleep(5)
    assert (await pipeline.simulator.statistics())["calls"] == calls
    assert datetime.fromisoformat(halt["since"]) <= datetime.now(UTC)
    assert await worker.stop() == 0


async def _until_midnight(worker: Service, name: str) -> bool:
    zone = ZoneInfo(name)
    midnight = datetime.combine(datetime.now(zone).date() + timedelta(days=1), datetime.min.time(), zone)
    probe = datetime.fromisoformat((await worker.status())["halted"]["next_probe"])
    return abs(probe - midnight) < timedelta(seconds=2)


async def test_sigterm_ends_the_worker_with_0_while_kafka_is_away(
    own_kafka: Any, tmp_path: Path, pipeline: Pipeline
) -> None:
    await create_topics(own_kafka.bootstrap_servers, pipeline.topics, 3)
    worker = pipeline.consumer(KAFKA_BOOTSTRAP_SERVERS=own_kafka.bootstrap_servers)
    await worker.launch_and_wait()
    await own_kafka.kill()

    assert await worker.stop() == 0
