"""Who a contact is: a new email, a second email, a merge, and one that must be forgotten."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.services import Service
from sandbox.simulator import TOKEN
from tests.commands import run
from tests.pipeline import Pipeline
from tests.polling import eventually

pytestmark = pytest.mark.timeout(180)

AT = "2026-11-24T03:00:00Z"
CREATED = {"merchant_id": "mer_1", "name": "Ada L", "business_name": "Café", "created_at": AT}


async def started(pipeline: Pipeline, **environment: str) -> Service:
    await pipeline.allow_many_calls()
    producer, worker = pipeline.producer(), pipeline.consumer(**environment)
    await asyncio.gather(producer.launch_and_wait(), worker.launch_and_wait())
    return worker


async def track(pipeline: Pipeline, event_type: str, **payload: Any) -> None:
    async with await pipeline.connect() as connection:
        await connection.execute("SELECT track_lifecycle_event(%s, %s::jsonb)", (event_type, json.dumps(payload)))


async def contacts(pipeline: Pipeline) -> dict[str, dict[str, str]]:
    return {email: dict(held["properties"]) for email, held in (await pipeline.simulator.accepted()).contacts.items()}


def hubspot(pipeline: Pipeline) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=pipeline.simulator.url, headers={"Authorization": f"Bearer {TOKEN}"})


async def test_two_emails_of_one_contact_are_two_lanes_that_skip_nothing_of_each_other(pipeline: Pipeline) -> None:
    async with hubspot(pipeline) as http:
        for email in ("ada@example.com", "countess@example.com"):
            answer = await http.post("/crm/v3/objects/contacts", json={"properties": {"email": email}})
            answer.raise_for_status()
        ids = [
            (await http.get(f"/crm/v3/objects/contacts/{email}?idProperty=email")).json()["id"]
            for email in ("ada@example.com", "countess@example.com")
        ]
        merged = {"primaryObjectId": ids[0], "objectIdToMerge": ids[1]}
        (await http.post("/crm/v3/objects/contacts/merge", json=merged)).raise_for_status()
    worker = await started(pipeline)
    for number in range(1, 4):
        await track(
            pipeline,
            "driver_signed_up",
            user_id="u1",
            email="ada@example.com",
            auth_provider=f"a{number}",
            created_at=AT,
        )
    await pipeline.all_arrive(dead=0)
    await worker.stop()
    # Now ada's sequence is 3: whoever took it for the countess's would skip hers.
    worker.launch()
    await track(
        pipeline, "driver_signed_up", user_id="u2", email="countess@example.com", auth_provider="phone", created_at=AT
    )
    await pipeline.all_arrive(dead=0)

    [properties] = (await contacts(pipeline)).values()
    assert properties["nerava_auth_provider"] == "phone"
    assert properties["nerava_contact_key"] == "countess@example.com"


@pytest.mark.chaos
async def test_who_is_suppressed_is_never_written_again_and_may_be_taken_off_the_list(pipeline: Pipeline) -> None:
    worker = await started(pipeline)
    await track(pipeline, "merchant_contact_created", email="gone@example.com", **CREATED)
    await pipeline.all_arrive(dead=0)

    trial = await run("hubspot_consumer", "suppress", "Gone@example.com", "--dry-run", environment=pipeline.environment)
    assert (trial.code, trial.output[:8]) == (0, "would be")
    done = await run("hubspot_consumer", "suppress", "Gone@example.com", environment=pipeline.environment)
    assert (done.code, "g***@example.com" in done.output, "gone@" in done.output.lower()) == (0, True, False)
    async with hubspot(pipeline) as http:
        forgotten = {"objectId": "gone@example.com", "idProperty": "email"}
        (await http.post("/crm/v3/objects/contacts/gdpr-delete", json=forgotten)).raise_for_status()

    async def known() -> bool:
        return bool((await worker.status()).get("suppressed"))

    await eventually(known, saying="the worker knows the list")
    for email in ("gone@example.com", "here@example.com"):
        await track(pipeline, "merchant_contact_updated", merchant_id="m", email=email, phone="2", updated_at=AT)

    async def acked() -> bool:
        return (await worker.status())["in_flight"]["events"] == 0 and "here@example.com" in await contacts(pipeline)

    await eventually(acked, saying="both events are finished")
    assert set(await contacts(pipeline)) == {"here@example.com"}
    async with httpx.AsyncClient() as http:
        metrics = (await http.get(f"{worker.url}/metrics")).text
    assert "hubspot_consumer_events_suppressed_total 1.0" in metrics

    # A worker that starts later knows the list before it reads.
    await worker.kill()
    await track(
        pipeline, "merchant_contact_updated", merchant_id="m", email="gone@example.com", phone="3", updated_at=AT
    )
    await worker.launch_and_wait()
    await eventually(acked, saying="the event is finished")
    assert set(await contacts(pipeline)) == {"here@example.com"}

    undone = await run("hubspot_consumer", "suppress", "gone@example.com", "--undo", environment=pipeline.environment)
    assert undone.code == 0
    await eventually(lambda: _nobody_suppressed(worker), saying="the worker knows that it is off the list")
    await track(
        pipeline, "merchant_contact_updated", merchant_id="m", email="gone@example.com", phone="4", updated_at=AT
    )

    async def back() -> bool:
        return "gone@example.com" in await contacts(pipeline)

    await eventually(back, saying="the contact is written again")


async def _nobody_suppressed(worker: Service) -> bool:
    return (await worker.status()).get("suppressed") == 0


async def test_properties_that_the_portal_lacks_are_left_out_and_told_once(pipeline: Pipeline) -> None:
    async with hubspot(pipeline) as http:
        for name in ("nerava_role", "nerava_wallet_pass_type"):
            (await http.delete(f"/crm/v3/properties/contacts/{name}")).raise_for_status()
    worker = await started(pipeline)
    await pipeline.commit(300)
    await pipeline.all_arrive(dead=1)

    findings, dead = await pipeline.findings()
    assert not findings
    assert [letter.reason for letter in dead] == ["invalid_envelope"]
    status = await worker.status()
    assert status["properties_left_out"] == ["nerava_role", "nerava_wallet_pass_type"]
    assert status["halted"] is None


async def test_without_the_property_that_guards_the_order_sending_halts_until_it_is_there(pipeline: Pipeline) -> None:
    await pipeline.simulator.remove("properties/nerava_event_sequence")
    worker = await started(pipeline)
    await pipeline.commit(200)

    async def halted() -> bool:
        return ((await worker.status()).get("halted") or {}).get("reason") == "portal_not_provisioned"

    await eventually(halted, saying="the worker halts")
    assert not await contacts(pipeline)
    done = await run("hubspot_consumer", "provision", "--apply", environment=pipeline.environment)
    assert done.code == 0, done.errors
    await pipeline.all_arrive(dead=1)
    findings, dead = await pipeline.findings()
    assert not findings
    assert [letter.reason for letter in dead] == ["invalid_envelope"]


async def test_a_token_that_is_rotated_in_its_file_needs_no_restart(pipeline: Pipeline) -> None:
    file = pipeline.directory / "token"
    file.write_text(f"{TOKEN}\n")
    worker = await started(pipeline, HUBSPOT_PRIVATE_APP_TOKEN="", HUBSPOT_PRIVATE_APP_TOKEN_FILE=str(file))
    await pipeline.commit(50, seed=1)
    await pipeline.all_arrive(dead=1)

    new = "pat-na1-00000000-0000-4000-8000-00000000000a"
    await pipeline.simulator.change_token("add", new)
    file.write_text(new)
    await pipeline.simulator.change_token("revoke", TOKEN)
    await pipeline.commit(50, seed=2)
    await pipeline.all_arrive(dead=2)

    assert (await worker.status())["halted"] is None
    assert not (await pipeline.findings())[0]


# What `make test` runs of it; `make long` runs all.
COMMANDS = (
    "replay --from-earliest --yes",
    *(
        pytest.param(command, marks=pytest.mark.chaos)
        for command in ("resync newest@example.com", "audit --repair --yes")
    ),
)


@pytest.mark.parametrize("command", COMMANDS)
async def test_a_new_email_moves_the_contact_does_not_double_it_and_a_command_writes_it_again_as_one(
    pipeline: Pipeline, command: str, tmp_path: Path
) -> None:
    worker = await started(pipeline)
    # Two moves, so that one of them is likely to be between partitions, and an ordinary update in between.
    await track(pipeline, "merchant_contact_created", email="Old@Example.com", **CREATED)
    await track(
        pipeline, "merchant_contact_updated", merchant_id="mer_1", email="old@example.com", phone="1", updated_at=AT
    )
    for previous, email in (("old@example.com", "new@example.com"), ("NEW@example.com", "newest@example.com")):
        moved = {"merchant_id": "mer_1", "email": email, "previous_email": previous, "updated_at": AT}
        await track(pipeline, "merchant_contact_updated", business_name=email, **moved)
        await pipeline.all_arrive(dead=0)
    await pipeline.until_finished()
    await worker.stop()
    before = await contacts(pipeline)
    entries = len(await pipeline.simulator.timeline_of("newest@example.com"))

    folder = ["--folder", str(tmp_path)] if command.startswith("replay") else []
    beside = await pipeline.run(*command.split(), *folder)
    unchanged = await contacts(pipeline)
    await pipeline.simulator.reset()
    await pipeline.allow_many_calls()
    assert (await pipeline.run("provision", "--apply")).code == 0
    after_reset = await pipeline.run(*command.split(), *folder)

    assert (beside.code, after_reset.code) == (0, 0), after_reset.output + after_reset.errors
    after = await contacts(pipeline)
    assert list(before) == list(unchanged) == list(after) == ["newest@example.com"]
    held = before["newest@example.com"]
    assert (held["company"], held["phone"], held["firstname"]) == ("newest@example.com", "1", "Ada")
    assert held["nerava_event_sequence"] == "1"
    ours = {name: value for name, value in held.items() if name.startswith(("nerava", "comp", "phone", "firstname"))}
    again = after["newest@example.com"]
    assert {name: again.get(name) for name in ours} == ours
    assert len(await pipeline.simulator.timeline_of("newest@example.com")) == entries == 4
