"""An event that our mapping fails for costs itself alone: the worker, its contact's other events and others' go on."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hubspot_consumer import mapping
from hubspot_consumer.history.projection import Selection
from hubspot_consumer.mapping import MAPPINGS
from hubspot_consumer.reprocessing import report as reports
from sandbox.hubspot.records.timeline import Occurrence
from schemas.envelope import Envelope
from schemas.events import NovaEarned
from tests.clock import run_fast
from tests.contract.delivering import Worker
from tests.contract.replaying import MOST_REFUSED, replayed
from tests.contract.test_delivery_property import ADA, GRACE, events_of, ours, portal_of_ours
from tests.contract.test_replay import entries, folded, stored, survived
from tests.samples import PAYLOADS

BAD_SESSION = "ses_bad"
PAYLOAD = PAYLOADS["nova_earned"]
BAD = {"session_id": BAD_SESSION}
earned = MAPPINGS[NovaEarned]
timeline_properties = mapping.timeline_properties


def _fails(event: NovaEarned, totals: Any) -> Any:
    if event.session_id == BAD_SESSION:
        raise OverflowError("of ada@example.com")
    return earned(event, totals)


def _is_no_text(event: NovaEarned, totals: Any) -> Any:
    return {"nerava_nova_balance_cents": 5} if event.session_id == BAD_SESSION else earned(event, totals)


def _can_not_be_sent(event: NovaEarned, totals: Any) -> Any:
    return {"nerava_nova_balance_cents": "\ud800"} if event.session_id == BAD_SESSION else earned(event, totals)


def _entry_fails(envelope: Envelope) -> Any:
    if getattr(envelope.payload, "session_id", "") == BAD_SESSION:
        raise RuntimeError
    return timeline_properties(envelope)


def bad(events: list[Envelope], place: int) -> None:
    """Make the event at *place* one that the mapping fails for."""
    payload = events[place].payload
    events[place] = events[place].model_copy(update={"payload": payload.model_copy(update=BAD)})


@pytest.fixture(params=[_fails, _is_no_text, _can_not_be_sent, _entry_fails])
def broken(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The mapping, which fails for one session."""
    if request.param is _entry_fails:
        monkeypatch.setattr(mapping, "timeline_properties", _entry_fails)
    else:
        mappings: dict[Any, Any] = dict(MAPPINGS)
        mappings[NovaEarned] = request.param
        monkeypatch.setattr(mapping, "MAPPINGS", mappings)
    found: Callable[..., Any] = request.param
    return found


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize("guilty", [0, 1, 4])
def test_it_is_a_dead_letter_and_everything_else_is_delivered(guilty: int) -> None:
    portal = portal_of_ours()
    kinds = ["nova_earned", "nova_earned", "driver_signed_up", "nova_redeemed", "nova_earned"]
    events = events_of({ADA: kinds, GRACE: ["driver_signed_up", "nova_earned"]})
    bad(events, guilty)

    came = run_fast(Worker(portal, [], seed=guilty).deliver(events, range(len(events))))

    assert came.dead == [(guilty, "mapping_failed")]
    assert dict(came.receipts) == {
        place: "dead_lettered" if place == guilty else "delivered" for place in range(len(events))
    }
    assert set(came.finished.values()) == {1}
    left = [event for place, event in enumerate(events) if place != guilty]
    for email in (ADA, GRACE):
        theirs = [event for event in left if event.contact.email == email]
        expected = {name: value for event in theirs for name, value in mapping.contact_properties(event).items()}
        held = ours(portal, email)
        assert held is not None
        assert {name: held[name] for name in expected} == expected
    uuids = {entry.uuid for entry in portal.timeline.entries() if isinstance(entry, Occurrence)}
    assert uuids == {str(event.id) for event in left}


@pytest.mark.usefixtures("broken")
def test_a_replay_skips_it_tells_it_once_and_comes_to_its_end() -> None:
    portal = portal_of_ours()
    events = [
        stored(0, 1, "driver_signed_up", 0),
        stored(0, 2, "nova_earned", 1, payload=PAYLOAD | BAD),
        stored(0, 3, "nova_redeemed", 2),
        stored(1, 1, "nova_earned", 3, payload=PAYLOAD | BAD),
        stored(2, 1, "nova_earned", 4),
    ]
    with tempfile.TemporaryDirectory() as folder:
        report = run_fast(replayed(portal, Path(folder), events))

    told = [(one.contact, one.reason, one.event_type) for one in report.refused]
    assert told == [(f"contact{number}@example.com", "mapping_failed", "nova_earned") for number in (0, 1)]
    assert report.contacts_written == 2
    assert portal.contacts.by_email("contact1@example.com") is None
    assert len(entries(portal)) == 3
    held = portal.contacts.by_email("contact0@example.com")
    assert held is not None
    assert folded([events[0], events[2]]).items() <= held.properties.items()


@pytest.mark.usefixtures("broken")
def test_a_replay_leaves_a_contact_alone_whose_newest_event_it_fails_for() -> None:
    # HubSpot may have the contact as it was after that event, by an older mapping.
    portal = portal_of_ours()
    events = [stored(0, 1, "driver_signed_up", 0), stored(0, 2, "nova_earned", 1, payload=PAYLOAD | BAD)]
    with tempfile.TemporaryDirectory() as folder:
        report = run_fast(replayed(portal, Path(folder), events))

    assert [one.reason for one in report.refused] == ["mapping_failed"]
    assert (report.contacts_written, report.timeline_entries) == (0, 0)
    assert portal.contacts.by_email("contact0@example.com") is None


@pytest.mark.usefixtures("broken")
def test_a_replay_that_goes_on_tells_it_no_second_time() -> None:
    events = [
        stored(0, 1, "driver_signed_up", 0),
        stored(0, 2, "nova_earned", 1, payload=PAYLOAD | BAD),
        stored(0, 3, "nova_redeemed", 2),
    ]
    portal = portal_of_ours()
    with tempfile.TemporaryDirectory() as folder:
        assert not survived(replayed(portal, Path(folder), events, dies_at=2))
        report = run_fast(replayed(portal, Path(folder), events))

    assert [one.reason for one in report.refused] == ["mapping_failed"]


@pytest.mark.usefixtures("broken")
def test_more_of_them_than_hubspot_may_refuse_do_not_end_a_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "log", type("Log", (), {"warning": lambda *_, **__: None})())
    events = [stored(number, 1, "nova_earned", number, payload=PAYLOAD | BAD) for number in range(2 * MOST_REFUSED)]
    events.append(stored(2 * MOST_REFUSED, 1, "driver_signed_up", 2 * MOST_REFUSED))
    with tempfile.TemporaryDirectory() as folder:
        report = run_fast(replayed(portal_of_ours(), Path(folder), events, selection=Selection()))

    assert report.contacts_written == 1
    assert len(report.refused) == MOST_REFUSED
