"""A replay that leaves notes looks up those of a thousand contacts a call, and without a slot of the ten seconds."""

from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from hubspot_consumer.hubspot import connection
from hubspot_consumer.hubspot.connection import AnswerTooLarge, request
from sandbox.hubspot.records.contacts import Contacts
from sandbox.hubspot.records.notes import Notes
from sandbox.hubspot.records.portal import Portal
from sandbox.hubspot.records.timeline import Timeline
from tests.clock import run_fast
from tests.contract.replaying import replayed
from tests.contract.reprocessing.auditing import stored

CONTACTS = 1_000
EVENTS = [stored(f"c{number:04}@example.com", 1, "nova_earned", number) for number in range(CONTACTS)]


@pytest.fixture
def portal(provisioned: Portal) -> Portal:
    provisioned.contacts = Contacts(provisioned.schema, provisioned.clock)
    provisioned.timeline, provisioned.notes = Timeline(), Notes(provisioned.clock)
    provisioned.log.calls.clear()
    return provisioned


def calls(portal: Portal) -> Counter[str]:
    """Return the number of calls by the end of their paths."""
    return Counter({path.removeprefix("POST /crm/"): sum(by.values()) for path, by in portal.log.by_path().items()})


UPSERT, CREATE, READ = (
    f"objects/2026-03/{what}" for what in ("contacts/batch/upsert", "notes/batch/create", "notes/batch/read")
)
LOOK_UP = "associations/2026-03/contacts/notes/batch/read"


def test_notes_of_a_thousand_contacts_are_looked_up_by_one_call_beside_ten_before(
    portal: Portal, tmp_path: Path
) -> None:
    run_fast(replayed(portal, tmp_path / "first", EVENTS, mode="notes"))
    first = calls(portal)
    portal.log.calls.clear()
    run_fast(replayed(portal, tmp_path / "again", EVENTS, mode="notes"))

    assert first == {UPSERT: 10, LOOK_UP: 1, CREATE: 10}
    assert calls(portal) == {UPSERT: 10, LOOK_UP: 1, READ: 10}
    assert len(portal.timeline.entries()) == CONTACTS


def test_a_list_of_notes_that_is_too_large_is_asked_for_in_parts(
    portal: Portal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def bounded(
        http: httpx.AsyncClient, method: str, path: str, body: Any = None, *more: Any, **options: Any
    ) -> Any:
        if path.endswith(LOOK_UP) and len(body["inputs"]) > 250:
            raise AnswerTooLarge("the notes of so many contacts")
        return await request(http, method, path, body, *more, **options)

    run_fast(replayed(portal, tmp_path / "first", EVENTS, mode="notes"))
    portal.log.calls.clear()
    monkeypatch.setattr(connection, "request", bounded)
    run_fast(replayed(portal, tmp_path / "again", EVENTS, mode="notes"))

    assert calls(portal) == {UPSERT: 10, LOOK_UP: 4, READ: 10}
    assert len(portal.timeline.entries()) == CONTACTS
