"""A poisoned event is mended and redriven, and whatever reads its topic afterwards reads it as mended."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sandbox.day.traffic import Happening
from tests.commands import Done
from tests.pipeline import Pipeline

pytestmark = pytest.mark.timeout(240)

ADA, BOB = "ada@example.com", "bob@example.com"
OWNER, NEW_OWNER = "owner@example.com", "new.owner@example.com"
AT = datetime(2026, 11, 24, 3, tzinfo=UTC)
SAID = AT.isoformat()


def happening(contact: str, event_type: str, **payload: object) -> Happening:
    return Happening(contact, event_type, payload, AT)


def poisoned(contact: str, event_type: str, **payload: object) -> Happening:
    return replace(happening(contact, event_type, **payload), poisoned=True)


def driver(email: str) -> list[Happening]:
    """A driver whose newest event, which alone says the balance, lacks its time."""
    user = {"user_id": f"usr_{email}"}
    earned = {"amount_cents": 500, "session_id": "ses_1", "new_balance_cents": 500}
    return [
        happening(email, "driver_signed_up", **user, email=email, auth_provider="apple", created_at=SAID),
        poisoned(email, "nova_earned", **user, **earned),
    ]


def merchant() -> list[Happening]:
    """A merchant's contact whose new email is told by an event that lacks its time."""
    named = {"merchant_id": "mer_1"}
    about = {"name": "Owner One", "business_name": "Café", "created_at": SAID}
    moved = {"email": NEW_OWNER, "previous_email": OWNER}
    return [
        happening(OWNER, "merchant_contact_created", **named, email=OWNER, **about),
        poisoned(NEW_OWNER, "merchant_contact_updated", **named, **moved),
    ]


async def held(pipeline: Pipeline, email: str) -> dict[str, Any]:
    contact = (await pipeline.simulator.accepted()).contacts.get(email)
    return dict(contact["properties"]) if contact is not None else {}


async def set_aside(pipeline: Pipeline, happenings: list[Happening], dead: int) -> list[str]:
    """Let dead letters come of poisoned events; return their ids."""
    await pipeline.allow_many_calls()
    await asyncio.gather(pipeline.producer().launch_and_wait(), pipeline.consumer().launch_and_wait())
    await pipeline.play(happenings)
    await pipeline.until_set_aside(dead)
    await pipeline.all_accounted_for(within_s=60)
    await pipeline.until_finished()
    return sorted(json.loads(line)["id"] for line in (await listed(pipeline)).output.splitlines())


async def listed(pipeline: Pipeline) -> Done:
    return await pipeline.run("dead-letters", "list", "--json")


async def mended(pipeline: Pipeline, *ids: str) -> None:
    done = await pipeline.run("dead-letters", "mend", *ids, "--suggested", "--note", "it lacks its time", "--yes")
    assert done.code == 0, done.errors


async def emptied(pipeline: Pipeline) -> None:
    """Let HubSpot hold nothing, as after an accident."""
    await pipeline.simulator.reset()
    assert (await pipeline.run("provision", "--apply")).code == 0


@pytest.mark.chaos
async def test_a_mended_event_takes_effect_by_a_redrive_and_no_later_replay_or_audit_forgets_it(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    ids = await set_aside(pipeline, driver(ADA) + driver(BOB), 2)
    unmended = await pipeline.run("redrive", "--yes")
    before = await held(pipeline, ADA)
    await mended(pipeline, *ids)
    audited_before = await pipeline.run("audit")

    done = await pipeline.run("redrive", "--id", ids[0], "--id", ids[1], "--yes", "--json", "--progress", "json")
    audited = await pipeline.run("audit", "--json", "--progress", "json")
    await emptied(pipeline)
    folder = str(tmp_path / "runs")
    replayed = await pipeline.run("replay", "--from-earliest", "--yes", "--folder", folder, "--progress", "json")

    assert unmended.code == 1
    assert "nerava_nova_balance_cents" not in before
    assert audited_before.code == 0, audited_before.output
    assert (done.code, done.errors) == (0, done.errors)
    told = json.loads(done.output)
    assert (told["redriven"], told["still_dead"], told["plan"]["unreadable"]) == (2, 0, [])
    assert {letter["id"]: letter["state"] for letter in told["letters"]} == dict.fromkeys(ids, "redriven")
    assert (audited.code, json.loads(audited.output)["kinds"]) == (0, {})
    assert replayed.code == 0, replayed.errors
    assert [json.loads(line) for line in replayed.errors.splitlines() if "plan" in json.loads(line)]
    for email in (ADA, BOB):
        properties = await held(pipeline, email)
        assert properties["nerava_nova_balance_cents"] == "500"
        assert properties["nerava_event_sequence"] == "2"
        assert properties["nerava_last_nova_earned_at"]
    assert not (await pipeline.ledger()).compare(await pipeline.simulator.accepted(), dead_letters=[])
    assert (await pipeline.run("audit")).code == 0
    resynced = await pipeline.run("resync", ADA, "--progress", "json")
    assert (resynced.code, "nothing was different" in resynced.output) == (0, True)


async def test_only_those_that_were_named_are_redriven_and_one_that_was_is_told(pipeline: Pipeline) -> None:
    ids = await set_aside(pipeline, driver(ADA) + driver(BOB), 2)
    await mended(pipeline, *ids)

    first = await pipeline.run("redrive", "--id", ids[0], "--yes")
    again = await pipeline.run("redrive", "--id", ids[0], "--yes")
    nobody = await pipeline.run("redrive", "--id", ids[1], "--id", "0-99", "--yes")

    assert (first.code, first.output.splitlines()[-1].split(":")[0]) == (0, "1 redriven, 0 still dead")
    assert again.output == f"{ids[0]} is already redriven\nno matching dead letter is open\n"
    assert (nobody.code, "no such dead letter: 0-99" in nobody.errors) == (1, True)
    [left] = [json.loads(line) for line in (await listed(pipeline)).output.splitlines()]
    assert (left["id"], left["state"]) == (ids[1], "mended")


@pytest.mark.chaos
async def test_a_replay_lets_a_mended_event_take_effect_and_settles_it(pipeline: Pipeline, tmp_path: Path) -> None:
    ids = await set_aside(pipeline, driver(ADA), 1)
    await mended(pipeline, *ids)

    done = await pipeline.run("replay", "--from-earliest", "--yes", "--folder", str(tmp_path / "runs"))

    assert done.code == 0, done.errors
    assert (await held(pipeline, ADA))["nerava_nova_balance_cents"] == "500"
    assert (await listed(pipeline)).output == ""
    assert (await pipeline.run("audit")).code == 0


@pytest.mark.chaos
async def test_a_mended_event_that_names_the_previous_email_moves_the_contact(pipeline: Pipeline) -> None:
    ids = await set_aside(pipeline, merchant(), 1)
    await mended(pipeline, *ids)

    done = await pipeline.run("redrive", "--yes")

    assert done.code == 0, done.errors
    contacts = (await pipeline.simulator.accepted()).contacts
    assert set(contacts) == {NEW_OWNER}
    assert contacts[NEW_OWNER]["properties"]["nerava_merchant_id"] == "mer_1"
    assert (await pipeline.run("audit")).code == 0
