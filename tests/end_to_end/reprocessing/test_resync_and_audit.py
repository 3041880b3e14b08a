"""One contact written again, and all of them compared."""

import json
from collections import Counter

import pytest

from tests.end_to_end.reprocessing.test_replay import delivered
from tests.outbox.sales import Sales
from tests.pipeline import Pipeline

pytestmark = pytest.mark.timeout(180)


@pytest.mark.chaos
async def test_resync_shows_the_timeline_and_what_it_changed(pipeline: Pipeline) -> None:
    await delivered(pipeline)
    email = (await pipeline.ledger()).busiest_contact()
    events = [event for event in (await pipeline.ledger()).events.values() if event.contact_key == email]
    await Sales(pipeline.simulator).change(email, nerava_nova_balance_cents="7")

    done = await pipeline.run("resync", email)

    assert done.code == 0, done.errors
    assert "nerava_nova_balance_cents                7 -> " in done.output
    assert done.output.count("nova_earned") == sum(event.type == "nova_earned" for event in events)
    findings, _ = await pipeline.findings()
    assert not findings


async def test_resync_of_somebody_unknown_says_so(pipeline: Pipeline) -> None:
    done = await pipeline.run("resync", "nobody@example.com")

    assert done.code == 1
    assert "the topics have no event of n***@example.com" in done.output


KINDS = ("missing", "stale", "ahead", "empty", "differs")


async def plant(sales: Sales, emails: list[str]) -> None:
    """Change 25 contacts, five in each of the ways."""
    ways = {kind: emails[number * 5 : number * 5 + 5] for number, kind in enumerate(KINDS)}
    for email in ways["missing"]:
        await sales.archive(email)
    for email in ways["stale"]:
        await sales.change(email, nerava_event_sequence="0")
    for email in ways["ahead"]:
        await sales.change(email, nerava_event_sequence="999")
    for email in ways["empty"]:
        await sales.change(email, nerava_role="")
    for email in ways["differs"]:
        await sales.change(email, nerava_external_id="usr_other")


async def test_an_audit_finds_what_was_planted_and_nothing_else_and_repairs_it(pipeline: Pipeline) -> None:
    await pipeline.allow_many_calls()
    await delivered(pipeline, 800)
    contacts = (await pipeline.simulator.accepted()).contacts
    roles = {email: contact["properties"].get("nerava_role") for email, contact in contacts.items()}
    drivers = sorted(email for email, role in roles.items() if role == "driver")

    clean = await pipeline.run("audit")
    await plant(Sales(pipeline.simulator), drivers[:25])
    found = await pipeline.run("audit", "--json")
    repaired = await pipeline.run("audit", "--repair", "--yes")
    clean_again = await pipeline.run("audit")

    assert (clean.code, clean.output.splitlines()[-1]) == (0, f"{len(contacts)} contacts compared: no difference")
    assert found.code == 1
    differences = json.loads(found.output)["differences"]
    assert Counter(difference["kind"] for difference in differences) == dict.fromkeys(KINDS, 5)
    assert repaired.code == 0, repaired.output
    assert clean_again.code == 0, clean_again.output
