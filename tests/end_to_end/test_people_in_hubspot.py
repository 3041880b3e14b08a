"""People work in HubSpot too: what they delete or change there is told, and whole again after the next event."""

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from hubspot_consumer.hubspot.schema import EMAIL, LAST_EVENT_ID, SEQUENCE
from sandbox.services import Service
from sandbox.simulator import TOKEN
from tests.pipeline import ID_PROPERTY, Pipeline
from tests.polling import eventually

pytestmark = pytest.mark.timeout(180)

ADA, GRACE = "ada@example.com", "grace@example.com"
AT = "2026-11-24T03:00:00Z"


def signed_up(email: str) -> tuple[str, dict[str, Any]]:
    return "driver_signed_up", {"user_id": email, "email": email, "auth_provider": "apple", "created_at": AT}


def pass_installed(email: str) -> tuple[str, dict[str, Any]]:
    return "wallet_pass_installed", {"user_id": email, "email": email, "pass_type": "apple", "installed_at": AT}


def earned(email: str, balance: int) -> tuple[str, dict[str, Any]]:
    payload = {"user_id": email, "email": email, "amount_cents": 1, "session_id": "ses_1", "earned_at": AT}
    return "nova_earned", payload | {"new_balance_cents": balance}


async def ours(pipeline: Pipeline, email: str) -> dict[str, str]:
    """Return our properties of a contact; none if there is no such contact."""
    contact = (await pipeline.simulator.accepted()).contacts.get(email)
    return {name: value for name, value in (contact or {"properties": {}})["properties"].items() if "nerava" in name}


async def until(pipeline: Pipeline, email: str, within_s: float = 60, /, **expected: str) -> dict[str, str]:
    """Return our properties of a contact when it has these values."""

    async def has() -> dict[str, str] | None:
        found = await ours(pipeline, email)
        return found if expected.items() <= found.items() else None

    found = await eventually(has, within_s=within_s, every_s=0.3, saying=f"{email} has {expected}")
    assert found is not None
    return found


async def begun(pipeline: Pipeline, *emails: str) -> tuple[Service, dict[str, dict[str, str]]]:
    """Start relay and worker; return the worker, and what HubSpot has of each contact after three events."""
    await pipeline.allow_many_calls()
    relay, worker = pipeline.producer(), pipeline.consumer()
    await asyncio.gather(relay.launch_and_wait(), worker.launch_and_wait())
    for email in emails:
        await pipeline.track(signed_up(email), pass_installed(email), earned(email, 5))
    return worker, {email: await until(pipeline, email, **{SEQUENCE: "3"}) for email in emails}


async def by_hand(pipeline: Pipeline, email: str, properties: Mapping[str, str] | None) -> None:
    """Change a contact as a person would, or delete it."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    contact_id = (await pipeline.simulator.accepted()).contacts[email]["id"]
    async with httpx.AsyncClient(base_url=pipeline.simulator.url, headers=headers) as http:
        path = f"/crm/v3/objects/contacts/{contact_id}"
        answer = await (http.delete(path) if properties is None else http.patch(path, json={"properties": properties}))
        answer.raise_for_status()


async def counted(worker: Service, why: str) -> float:
    async with httpx.AsyncClient() as http:
        metrics = (await http.get(f"{worker.url}/metrics")).text
    [value] = [line.split()[-1] for line in metrics.splitlines() if f'resyncs_wanted_total{{why="{why}"}}' in line]
    return float(value)


async def test_a_contact_that_was_deleted_or_given_another_email_is_written_completely_at_its_next_event(
    pipeline: Pipeline,
) -> None:
    worker, before = await begun(pipeline, ADA, GRACE)

    await by_hand(pipeline, ADA, None)
    await by_hand(pipeline, GRACE, {"email": "grace.hopper@example.com"})
    await pipeline.track(earned(ADA, 6), earned(GRACE, 7))

    for email, balance in ((ADA, "6"), (GRACE, "7")):
        found = await until(pipeline, email, nerava_auth_provider="apple", nerava_nova_balance_cents=balance)
        assert found.keys() == before[email].keys()
    # By a property of its own, the contact with another email is found, and gets its email back.
    came_back = 2 if ID_PROPERTY == EMAIL else 1
    assert worker.log.read_text().count("contact.came_back") == came_back
    assert await counted(worker, "deleted") == came_back
    audited = await pipeline.run("audit")
    assert audited.code == 0, audited.output


@pytest.mark.chaos
async def test_after_a_restart_a_deleted_contact_is_whole_and_one_with_an_edited_sequence_not_frozen(
    pipeline: Pipeline,
) -> None:
    worker, _ = await begun(pipeline, ADA, GRACE)
    assert await worker.stop() == 0
    await by_hand(pipeline, ADA, None)
    await by_hand(pipeline, GRACE, {SEQUENCE: "999"})
    await pipeline.track(earned(ADA, 6), earned(GRACE, 7))
    await pipeline.until_published()

    await worker.launch_and_wait()

    await until(pipeline, ADA, nerava_auth_provider="apple", nerava_nova_balance_cents="6", nerava_event_sequence="4")
    grace = await until(pipeline, GRACE, nerava_nova_balance_cents="7", nerava_event_sequence="4")
    assert " 4:" in grace[LAST_EVENT_ID]
    assert (await counted(worker, "deleted"), await counted(worker, "sequence_doubtful")) == (1, 1)
    await pipeline.track(earned(GRACE, 8))
    await until(pipeline, GRACE, nerava_nova_balance_cents="8", nerava_event_sequence="5")
    audited = await pipeline.run("audit")
    assert audited.code == 0, audited.output


@pytest.mark.chaos
async def test_a_worker_that_stops_during_a_call_of_its_resync_commits_and_leaves_the_group(pipeline: Pipeline) -> None:
    worker, _ = await begun(pipeline, ADA)
    await by_hand(pipeline, ADA, None)
    await pipeline.track(earned(ADA, 6))
    await until(pipeline, ADA, **{SEQUENCE: "4"})
    late = {"answer": {"kind": "slow", "seconds": 25}, "match": {"path": "/contacts/batch/upsert"}}
    await pipeline.simulator.add_fault(late)

    async def called() -> bool:
        return bool((await pipeline.simulator.faults())[0]["fired"])

    await eventually(called, within_s=60, every_s=0.2, saying="the resync's call is under way")
    assert await worker.stop() == 0
    assert "service.stopped" in worker.log.read_text()

    await pipeline.simulator.remove_faults()
    await worker.launch_and_wait()
    await pipeline.track(earned(ADA, 7))
    # At the latest when the hold of the resync is over.
    await until(pipeline, ADA, 90, **{SEQUENCE: "5"})
