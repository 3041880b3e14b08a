"""Dead letters take effect after their cause was mended, beside whatever came after them."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from sandbox.day.traffic import Happening
from tests.pipeline import Pipeline

pytestmark = pytest.mark.timeout(240)

CONTACTS = 500
PASS_TYPE = "nerava_wallet_pass_type"


def email(number: int) -> str:
    return f"driver{number}@example.com"


def happening(number: int, minute: int, event_type: str, **payload: object) -> Happening:
    at = datetime(2026, 11, 24, 3, minute, tzinfo=UTC)
    return Happening(email(number), event_type, {"user_id": f"usr_{number}", **payload}, at)


def first(number: int) -> list[Happening]:
    """A driver signs up and installs a pass that HubSpot refuses."""
    at = "2026-11-24T03:00:00Z"
    signed_up = happening(number, 0, "driver_signed_up", email=email(number), auth_provider="apple", created_at=at)
    return [signed_up, happening(number, 1, "wallet_pass_installed", pass_type="google", installed_at=at)]


def newer(number: int) -> list[Happening]:
    """The same driver goes on, with a pass of another kind."""
    at = str(datetime(2026, 11, 24, 3, tzinfo=UTC) + timedelta(minutes=2))
    earned = {"amount_cents": 5, "session_id": "ses_1", "new_balance_cents": 5, "earned_at": at}
    other = happening(number, 2, "wallet_pass_installed", pass_type="apple", installed_at=at)
    return [other, happening(number, 3, "nova_earned", **earned)]


async def refuses_google_passes(pipeline: Pipeline) -> None:
    """Let HubSpot reject each contact with such a pass, and name no property: workers would leave out the property."""
    refused = {"kind": "bad_inputs", "message": "A rule of the portal does not take this contact."}
    await pipeline.simulator.add_fault({"answer": refused, "match": {"text": '"google"'}})


async def set_aside(pipeline: Pipeline) -> None:
    """Let a dead letter come of each of 500 contacts, and newer events of half of them; then mend the cause."""
    await refuses_google_passes(pipeline)
    worker = pipeline.consumer(DEAD_LETTER_LIMIT="10000")
    await asyncio.gather(pipeline.producer().launch_and_wait(), worker.launch_and_wait())
    await pipeline.play([each for number in range(CONTACTS) for each in first(number)])
    await pipeline.until_set_aside(CONTACTS)
    await pipeline.play([each for number in range(0, CONTACTS, 2) for each in newer(number)])
    await pipeline.all_accounted_for(within_s=90)
    await pipeline.until_finished()
    await pipeline.simulator.remove_faults()


@pytest.mark.chaos
async def test_redrive_of_500_dead_letters_leaves_no_value_older_and_no_entry_twice(pipeline: Pipeline) -> None:
    await set_aside(pipeline)

    planned = await pipeline.run("redrive", "--dry-run")
    done = await pipeline.run("redrive", "--yes")
    again = await pipeline.run("redrive", "--yes")
    audited = await pipeline.run("audit")

    assert (planned.code, f"{CONTACTS} dead letters of {CONTACTS} contacts" in planned.output) == (0, True)
    assert (done.code, done.output.splitlines()[-1].split(":")[0]) == (0, f"{CONTACTS} redriven, 0 still dead")
    assert (again.code, again.output) == (0, "no matching dead letter is open\n")
    accepted = await pipeline.simulator.accepted()
    held = [accepted.contacts[email(number)]["properties"][PASS_TYPE] for number in range(CONTACTS)]
    assert held == ["google" if number % 2 else "apple" for number in range(CONTACTS)]
    findings = (await pipeline.ledger()).compare(accepted, dead_letters=[])
    # What was dead for a while comes after what was not: HubSpot shows entries by their time.
    findings.out_of_order = []
    assert not findings
    assert audited.code == 0, audited.output


@pytest.mark.chaos
async def test_what_is_still_refused_stays_dead_and_what_newer_events_made_harmless_does_not(
    pipeline: Pipeline,
) -> None:
    await refuses_google_passes(pipeline)
    await asyncio.gather(pipeline.producer().launch_and_wait(), pipeline.consumer().launch_and_wait())
    await pipeline.play(first(1) + first(2))
    await pipeline.until_set_aside(2)
    await pipeline.play(newer(2))
    await pipeline.all_accounted_for(within_s=60)

    done = await pipeline.run("redrive", "--yes")
    listed = await pipeline.run("redrive", "--dry-run", "--contact", email(1))

    assert (done.code, done.output.splitlines()[-1].split(":")[0]) == (1, "1 redriven, 1 still dead")
    assert "1 dead letters of 1 contacts" in listed.output
    contacts = (await pipeline.simulator.accepted()).contacts
    assert contacts[email(1)]["properties"]["nerava_event_sequence"] == "1"
    assert contacts[email(2)]["properties"][PASS_TYPE] == "apple"
