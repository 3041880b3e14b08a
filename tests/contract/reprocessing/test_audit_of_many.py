"""An audit of 100,000 contacts: what an export costs beside reads, and that both find the same."""

import sys
import time
from pathlib import Path
from random import Random

import pytest

from hubspot_consumer.mapping import contact_properties
from sandbox.hubspot.records.contacts import Contacts
from sandbox.hubspot.records.portal import Portal
from sandbox.provisioned import provision
from schemas.envelope import read_envelope
from tests.contract.reprocessing.auditing import audited, stored
from tests.samples import PORTAL_ID, TOKEN

CONTACTS = 100_000
PLANTED = 300
COLUMNS = ("by", "contacts", "calls", "contacts read", "differences", "seconds on this machine")


@pytest.mark.chaos
@pytest.mark.timeout(900)
async def test_of_100_000_contacts_both_ways_find_the_same_planted_differences(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    portal = Portal(PORTAL_ID, [TOKEN], quota=10**6, daily_limit=10**6)
    await provision(portal)
    portal.change_settings(export_s=120)
    events = [stored(f"c{number:06}@example.com", 1, "nova_earned", number) for number in range(CONTACTS)]
    for event in events:
        properties = contact_properties(read_envelope(event.key.encode(), event.value))
        portal.contacts.create({"email": event.key, **properties})
    planted = _planted(portal)

    rows = []
    for by_export in (True, False):
        began = time.perf_counter()
        done = await audited(portal, tmp_path, events, by_export=by_export)
        took_s = time.perf_counter() - began
        rows.append(("export" if by_export else "reads", done, took_s))
        assert {each.contact for each in done.found} == planted
        assert done.compared == CONTACTS

    (_, exported, _), (_, read, _) = rows
    assert exported.differences == read.differences
    assert (exported.calls, read.calls) < (25, 1_004)
    cells = [
        (by, f"{done.compared:,}", f"{done.calls:,}", f"{done.read:,}", f"{len(done.found):,}", f"{took_s:.0f}")
        for by, done, took_s in rows
    ]
    lines = ("  ".join(map(str.ljust, row, map(len, COLUMNS))) for row in (COLUMNS, *cells))
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join(lines) + "\n")


def _planted(portal: Portal) -> set[str]:
    """Make differences; return whose."""
    chosen = Random(1).sample(portal.contacts.all(), PLANTED)
    for number, contact in enumerate(chosen):
        match number % 5:
            case 0:
                Contacts.archive(portal.contacts, contact)
            case 1:
                portal.contacts.update(contact, {"nerava_event_sequence": "0"})
            case 2:
                portal.contacts.update(contact, {"nerava_event_sequence": "2"})
            case 3:
                portal.contacts.update(contact, {"nerava_nova_balance_cents": ""})
            case _:
                portal.contacts.update(contact, {"nerava_nova_balance_cents": "7"})
    return {contact.email for contact in chosen}
