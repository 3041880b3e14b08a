"""A replay on the simulator: whenever it is killed, it goes on, writes nobody backwards, and forgets nobody."""

import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Collection, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hubspot_consumer.dead_letters.corrections import Correction
from hubspot_consumer.history.projection import Selection
from hubspot_consumer.history.store import Stored
from hubspot_consumer.hubspot.schema import EMAIL
from hubspot_consumer.mapping import contact_properties
from hubspot_consumer.reprocessing import projections as folded_topics
from hubspot_consumer.reprocessing.comparison import same
from hubspot_consumer.reprocessing.report import Report
from sandbox.hubspot.records.contacts import Contacts
from sandbox.hubspot.records.portal import Portal
from sandbox.hubspot.records.timeline import Occurrence, Timeline
from sandbox.provisioned import provision
from schemas.contacts import ContactKey
from schemas.envelope import read_envelope
from schemas.events import EVENT_TYPES
from tests.clock import LoopClock, run_fast
from tests.contract.replaying import Alone, Killed, replayed
from tests.samples import ID_PROPERTY, PAYLOADS, PORTAL_ID, TOKEN, envelope, value

CONTACTS = 9
Histories = list[list[str]]
Deaths = list[tuple[int, bool]]


def stored(contact: int, sequence: int, event_type: str, offset: int, **changes: Any) -> Stored:
    email = f"contact{contact}@example.com"
    made = envelope(event_type, sequence, email, **changes)
    made["id"] = f"00000000-0000-4000-8000-{contact:04}{sequence:08}"
    return Stored(email, sequence, f"lifecycle.{event_type}", 0, offset, offset, value(made))


def events_of(histories: Histories) -> list[Stored]:
    events: list[Stored] = []
    for contact, types in enumerate(histories):
        for sequence, event_type in enumerate(types, 1):
            events.append(stored(contact, sequence, event_type, len(events)))
    return events


@pytest.fixture(scope="module")
def provisioned() -> Portal:
    # The time of its quota is not that of the fast loop.
    portal = Portal(PORTAL_ID, [TOKEN], quota=10**6)
    asyncio.run(provision(portal, ID_PROPERTY))
    return portal


def emptied(portal: Portal) -> Portal:
    portal.contacts, portal.timeline = Contacts(portal.schema, portal.clock), Timeline()
    return portal


def entries(portal: Portal) -> Counter[str]:
    return Counter(entry.uuid for entry in portal.timeline.entries() if isinstance(entry, Occurrence))


def survived(replay: Coroutine[Any, Any, object]) -> bool:
    survives = True
    try:
        run_fast(replay)
    except* Killed:
        survives = False
    return survives


def folded(events: list[Stored]) -> dict[str, str]:
    properties: dict[str, str] = {}
    for event in events:
        properties |= contact_properties(read_envelope(event.key.encode(), event.value))
    return properties


@pytest.mark.parametrize("id_property", [EMAIL, ID_PROPERTY])
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    histories=st.lists(st.lists(st.sampled_from(EVENT_TYPES), min_size=1, max_size=5), min_size=1, max_size=CONTACTS),
    deaths=st.lists(st.tuples(st.integers(1, 4), st.booleans()), max_size=6),
)
def test_killed_at_any_call_it_goes_on_until_everybody_is_written_once_in_effect(
    provisioned: Portal, histories: Histories, deaths: Deaths, id_property: str
) -> None:
    portal, events = emptied(provisioned), events_of(histories)
    for contact in range(0, len(histories), 2):
        portal.contacts.create({"email": f"contact{contact}@example.com"})
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(folded_topics, "CONTACTS_AT_ONCE", 2)
        for dies_at, afterwards in [*deaths, (0, False)]:
            replay = replayed(
                portal, Path(folder), events, dies_at=dies_at, afterwards=afterwards, id_property=id_property
            )
            if survived(replay):
                break

    for contact in range(len(histories)):
        held = portal.contacts.by_email(f"contact{contact}@example.com")
        assert held is not None
        expected = folded([event for event in events if event.key == held.email])
        assert all(same(name, wanted, held.properties.get(name, "")) for name, wanted in expected.items())
        assert held.properties[id_property] == held.email
        assert len(held.writes) <= 2 - contact % 2 + len(deaths)
    assert entries(portal) == Counter(str(read_envelope(e.key.encode(), e.value).id) for e in events)


def test_a_replay_that_goes_on_reads_what_was_mended_meanwhile_as_it_was_mended(provisioned: Portal) -> None:
    """Else it would write older values over what a redrive has written since it began."""
    portal = emptied(provisioned)
    payload = {name: each for name, each in PAYLOADS["nova_earned"].items() if name != "earned_at"}
    lacking = stored(0, 2, "nova_earned", 1, payload={**payload, "new_balance_cents": 900})
    events = [stored(0, 1, "nova_earned", 0), lacking]
    mends = {lacking.place: Correction(values={"earned_at": PAYLOADS["nova_earned"]["earned_at"]}, note="so")}
    dead, redriven = Selection(set_aside=frozenset([lacking.place])), Selection(mends=mends)

    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as other:
        assert not survived(replayed(portal, Path(folder), events, selection=dead, dies_at=1))
        run_fast(replayed(portal, Path(other), events, selection=redriven))
        run_fast(replayed(portal, Path(folder), events, selection=redriven))

    held = portal.contacts.by_email("contact0@example.com")
    assert held is not None
    assert [held.properties[name] for name in ("nerava_nova_balance_cents", "nerava_event_sequence")] == ["900", "2"]
    assert set(entries(portal).values()) == {1}
    assert len(entries(portal)) == 2


@pytest.mark.parametrize(("quota", "id_property"), [(100, EMAIL), (1, EMAIL), (1, ID_PROPERTY)])
def test_the_report_counts_the_contacts_that_a_replay_gives_their_newer_email_also_one_call_at_a_time(
    provisioned: Portal, quota: int, id_property: str
) -> None:
    portal, before, after = emptied(provisioned), ContactKey("contact0@example.com"), ContactKey("contact1@example.com")
    events = events_of([["nova_earned"], ["nova_redeemed"]])

    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as other:
        unmoved = run_fast(replayed(portal, Path(folder), events[:1]))
        replay = replayed(portal, Path(other), events, moves=[(before, after)], quota=quota, id_property=id_property)
        moved = run_fast(replay)

    assert (unmoved.contacts_moved, moved.as_json()["contacts_moved"]) == (0, 1)
    assert (portal.contacts.by_email(before) is None, portal.contacts.by_email(after) is None) == (True, False)
    [contact] = portal.contacts.all()
    assert contact.properties[id_property] == after


class Busy(Alone):
    """Workers that have finished the events of topics at the start of the third hold, and so often as it is entered."""

    def __init__(self, unfinished: dict[tuple[str, int], int], finished: dict[tuple[str, int], int]) -> None:
        super().__init__()
        self._unfinished, self._finished = unfinished, finished

    def hold(self, keys: Collection[ContactKey]) -> Any:
        if self.holds == 2:
            self._unfinished |= self._finished
        return super().hold(keys)


@pytest.mark.parametrize("finish", [True, False])
def test_a_contact_gets_its_newer_email_when_workers_have_finished_the_events_of_the_former_or_after_a_minute(
    provisioned: Portal,
    finish: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Else a worker that reads them again creates a contact of the former email."""
    portal, before, after = emptied(provisioned), ContactKey("contact0@example.com"), ContactKey("contact1@example.com")
    portal.contacts.create({"email": before})
    events = events_of([["nova_earned", "nova_redeemed"], ["nova_redeemed"]])
    unfinished = {(event.topic, event.partition): 0 for event in events}
    busy = Busy(unfinished, dict.fromkeys(unfinished, 10) if finish else {})

    with tempfile.TemporaryDirectory() as folder:
        run_fast(replayed(portal, Path(folder), events, moves=[(before, after)], unfinished=unfinished, holding=busy))

    assert busy.holds == (3 if finish else 7)
    assert (portal.contacts.by_email(before) is None, portal.contacts.by_email(after) is None) == (True, False)


def test_workers_learn_that_the_events_of_a_former_email_are_applied(provisioned: Portal) -> None:
    portal, before, after = emptied(provisioned), ContactKey("contact0@example.com"), ContactKey("contact1@example.com")
    events = events_of([["nova_earned", "nova_redeemed"], ["nova_redeemed"]])
    holding = Alone()

    with tempfile.TemporaryDirectory() as folder:
        run_fast(replayed(portal, Path(folder), events, moves=[(before, after)], holding=holding))

    assert holding.written == {before: 2, after: 1}


class Suppressing(Alone):
    """While the first hold is waited for, people suppress one of its contacts."""

    def __init__(self, suppressed: set[ContactKey]) -> None:
        super().__init__()
        self._suppressed = suppressed

    @asynccontextmanager
    async def hold(self, keys: Collection[ContactKey]) -> AsyncIterator[Any]:
        async with super().hold(keys) as hold:
            self._suppressed.add(min(keys))
            yield hold


def test_a_contact_that_is_suppressed_while_its_hold_is_waited_for_is_not_written(tmp_path: Path) -> None:
    portal = Portal(PORTAL_ID, [TOKEN], clock=LoopClock())
    suppressed: set[ContactKey] = set()
    events = [stored(contact, 1, "nova_earned", contact) for contact in range(3)]

    async def replay() -> Report:
        await provision(portal)
        return await replayed(portal, tmp_path, events, holding=Suppressing(suppressed), suppressed=suppressed)

    report = run_fast(replay())

    assert sorted(contact.email for contact in portal.contacts.all()) == [
        f"contact{number}@example.com" for number in (1, 2)
    ]
    assert (report.contacts_suppressed, report.contacts_written) == (1, 2)
    assert suppressed == {"contact0@example.com"}


class Late(Alone):
    """The first hold ends in a second: the run was suspended meanwhile."""

    @asynccontextmanager
    async def hold(self, keys: Collection[ContactKey]) -> AsyncIterator[Any]:
        async with super().hold(keys) as hold:
            if self.holds == 1:
                hold.time_left_s = 1.0
            yield hold


def test_a_run_whose_hold_would_end_before_its_call_takes_another(tmp_path: Path) -> None:
    portal, holding = Portal(PORTAL_ID, [TOKEN], clock=LoopClock()), Late()
    events = [stored(contact, 1, "nova_earned", contact) for contact in range(3)]

    async def replay() -> Report:
        await provision(portal)
        return await replayed(portal, tmp_path, events, holding=holding)

    assert run_fast(replay()).contacts_written == 3
    assert holding.holds == 2
