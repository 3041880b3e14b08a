"""A topic that is read long after its co-partitioned ones: the entries of each contact keep their order."""

import asyncio

import pytest

from tests.pipeline import Pipeline
from tests.polling import eventually
from tests.workers.slow_sibling_worker import DELAY_S

pytestmark = [pytest.mark.timeout(300), pytest.mark.chaos]

SLOW = "tests.workers.slow_sibling_worker"
NO_ENTRIES = {"match": {"path": "send"}, "answer": {"kind": "status", "status": 503}}
AT = "2026-11-24T03:00:00Z"
ADA = {"user_id": "usr_1", "email": "ada@example.com"}
SIGNED_UP = {**ADA, "auth_provider": "apple", "created_at": AT}
PASS_INSTALLED = {**ADA, "pass_type": "apple", "installed_at": AT}
EARNED = {**ADA, "amount_cents": 5, "session_id": "ses_1", "new_balance_cents": 5, "earned_at": AT}


async def test_an_entry_waits_for_that_of_an_earlier_event_however_late_its_topic_is_read(pipeline: Pipeline) -> None:
    relay, worker = pipeline.producer(), pipeline.consumer()
    await asyncio.gather(relay.launch_and_wait(), worker.launch_and_wait())
    await pipeline.simulator.add_fault(NO_ENTRIES)
    ids = await pipeline.track(("driver_signed_up", SIGNED_UP), ("wallet_pass_installed", PASS_INSTALLED))

    async def applied() -> bool:
        contact = (await pipeline.simulator.accepted()).contacts.get(ADA["email"], {})
        return bool(contact.get("properties", {}).get("nerava_event_sequence") == "2")

    await eventually(applied, saying="both events are applied, and no entry is sent")
    await worker.kill()
    await pipeline.simulator.remove_faults()
    ids += await pipeline.track(("nova_earned", EARNED))
    await pipeline.until_published()

    slow = pipeline.program(SLOW)
    await slow.launch_and_wait()
    await pipeline.until_arrived(3, within_s=DELAY_S + 60)

    assert [event_id for event_id, _ in (await pipeline.simulator.accepted()).entries] == ids
    findings, dead = await pipeline.findings()
    assert not findings
    assert not dead
