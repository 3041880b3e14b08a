"""An outage of ten minutes on a simulated clock: no event is burnt, and sending goes on within seconds of its end."""

import asyncio
from collections import Counter

import httpx
import pytest

from sandbox.hubspot.faults.faults import Fault, StatusAnswer
from schemas.envelope import read_envelope
from tests.clock import run_fast
from tests.contract.delivering import Delivered, Unreliable, Worker
from tests.contract.test_delivery_property import portal_of_ours
from tests.samples import envelope, value

OUTAGE_S = 600.0
CONTACTS, EVENTS_EACH = 1_000, 3


# A captive portal or a proxy answers each call with a page of its own, and 200.
@pytest.mark.parametrize("status", [503, 200])
def test_an_outage_of_ten_minutes_burns_no_event_and_ends_within_seconds(
    monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    page = Fault(answer=StatusAnswer(status=status, style="html"))

    def down(_: Unreliable, _request: httpx.Request, _answer: str) -> Fault | None:
        return page if asyncio.get_running_loop().time() < OUTAGE_S else None

    monkeypatch.setattr(Unreliable, "_fault", down)
    emails = [f"contact{number}@example.com" for number in range(CONTACTS)]
    made = [(email, sequence) for sequence in range(1, EVENTS_EACH + 1) for email in emails]
    events = [
        read_envelope(
            email.encode(),
            value(envelope(sequence=sequence, email=email, id=f"00000000-0000-4000-8000-{place:012}")),
        )
        for place, (email, sequence) in enumerate(made)
    ]
    portal = portal_of_ours()

    async def deliver() -> tuple[Delivered, float]:
        came = await Worker(portal, [], seed=1).deliver(events, range(len(events)))
        return came, asyncio.get_running_loop().time()

    came, ended_at = run_fast(deliver())

    assert came.dead == []
    assert came.finished == Counter(range(len(events)))
    assert portal.timeline.occurrences == len(events)
    held = [portal.contacts.by_email(email) for email in emails]
    assert {contact.properties["nerava_event_sequence"] for contact in held if contact} == {str(EVENTS_EACH)}
    # The probes are 8 s apart at most, and there are some calls to make.
    assert OUTAGE_S < ended_at < OUTAGE_S + 40
