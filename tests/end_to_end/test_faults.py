"""What HubSpot may answer besides "yes": retried or halted, nothing lost, no event dead-lettered for it."""

import asyncio
from typing import Any

import pytest

from sandbox.simulator import TOKEN
from tests.pipeline import Pipeline
from tests.polling import eventually

pytestmark = pytest.mark.timeout(240)

EVENTS = 20
POLICIES = ("ten_secondly_rolling", "secondly", "daily", "search")
PATHS = {"before": "", "after": "batch/upsert"}
HANG: dict[str, Any] = {"kind": "hang", "seconds": 60}


def status(code: int, style: str = "json", **headers: str) -> dict[str, Any]:
    return {"kind": "status", "status": code, "style": style, "headers": headers}


ANSWERS: list[dict[str, Any]] = [
    *({"kind": "rate_limit", "policy": policy} for policy in POLICIES),
    *(status(code, style) for code in (500, 502, 503, 504) for style in ("json", "text", "html")),
    status(423),
    status(477, **{"Retry-After": "1"}),
    {"kind": "drop"},
    {"kind": "fewer_results"},
    {"kind": "silent"},
]


@pytest.mark.chaos
async def test_every_passing_fault_is_retried_and_costs_no_event(pipeline: Pipeline) -> None:
    await asyncio.gather(pipeline.producer().launch_and_wait(), pipeline.consumer().launch_and_wait())
    days = 0
    # Before the write took effect, and after it: applied, and answered as if it were not. One at a time, so that calls
    # succeed in between: several failures in a row would open the circuit.
    for answer, apply in [*((answer, apply) for apply in PATHS for answer in ANSWERS), (HANG, "before")]:
        await pipeline.simulator.add_fault(
            {"answer": answer, "apply": apply, "match": {"path": PATHS[apply]}, "when": {"count": 1}}
        )
        while not all(fault["fired"] for fault in await pipeline.simulator.faults()):
            days += 1
            await pipeline.commit(EVENTS, seed=days, per_s=50)
    await pipeline.all_arrive(dead=days)

    findings, dead = await pipeline.findings()
    assert not findings
    assert [letter.reason for letter in dead] == ["invalid_envelope"] * days


async def test_a_refused_token_halts_sending_says_why_and_heals_by_itself(pipeline: Pipeline) -> None:
    producer, worker = pipeline.producer(), pipeline.consumer()
    await asyncio.gather(producer.launch_and_wait(), worker.launch_and_wait())
    await pipeline.commit(100, seed=1)
    await pipeline.all_arrive(dead=1)

    await pipeline.simulator.change_token("revoke", TOKEN)
    await pipeline.commit(100, seed=2)

    async def halted() -> dict[str, Any] | None:
        code, body = await worker.health()
        return body["unwell"] if code == 200 and body["status"] == "halted" else None

    unwell = await eventually(halted, saying="health tells of the refused token")
    assert unwell is not None
    assert unwell["hubspot"].startswith("halted: token_refused")
    assert (await worker.status())["halted"]["reason"] == "token_refused"

    await pipeline.simulator.change_token("add", TOKEN)
    await pipeline.all_arrive(dead=2)
    await eventually(worker.sending, saying="health is well again")
    findings, dead = await pipeline.findings()
    assert not findings
    assert {letter.reason for letter in dead} == {"invalid_envelope"}


# What a 403 is told from is in tests/unit/hubspot_consumer/hubspot/test_results.py, and a halt is above.
@pytest.mark.chaos
async def test_a_lost_scope_halts_sending_and_burns_no_event(pipeline: Pipeline) -> None:
    producer, worker = pipeline.producer(), pipeline.consumer()
    await asyncio.gather(producer.launch_and_wait(), worker.launch_and_wait())
    await pipeline.simulator.add_fault({"answer": status(403), "when": {"for_s": 6}})
    await pipeline.commit(100)

    async def halted() -> bool:
        return (await worker.health())[1].get("status") == "halted"

    await eventually(halted, saying="health tells of the lost scope")
    await pipeline.all_arrive(dead=1)
    findings, dead = await pipeline.findings()
    assert not findings
    assert [letter.reason for letter in dead] == ["invalid_envelope"]
