"""The form of timeline entries: which refusals change it, and what is told of entries that no form takes."""

from collections.abc import Sequence

import pytest

from hubspot_consumer.delivery.blocked import MOST_TRIES
from hubspot_consumer.delivery.timeline import Timeline, TimelineMode
from hubspot_consumer.gates.circuit_breaker import CircuitBreaker
from hubspot_consumer.hubspot.outcomes import Delivered, Halt, RetryLater
from hubspot_consumer.hubspot.requests import Note, TimelineEntry
from hubspot_consumer.hubspot.results import WriteAnswer
from hubspot_consumer.ordering.lane import ContactUpdate
from hubspot_consumer.ordering.lanes import Lanes
from tests.clock import OwnedClock
from tests.unit.hubspot_consumer.delivery.test_contact_writer import HubSpot
from tests.unit.hubspot_consumer.delivery.test_delivery import Bench

NO_TIER = Halt("scope_missing", "403: the scopes lack")
PAGE = RetryLater("403: Attention Required!", outage=True)
BLOCKED = RetryLater("403: Sorry, you have been blocked", outage=True, blocked=True)
MOVED = Halt("endpoint_not_found", "404")


class Firewall(HubSpot):
    """Takes sends and notes, but blocks a call that has an entry of the contact c3."""

    def __init__(self) -> None:
        super().__init__(lambda _inputs: pytest.fail("no contact is written"))
        self.sent: list[str] = []

    async def send(self, entries: Sequence[TimelineEntry]) -> RetryLater | None:  # type: ignore[override]
        keys = [entry.contact_key for entry in entries]
        if "c3@example.com" in keys:
            return BLOCKED
        self.sent += keys
        return None

    async def note(self, notes: Sequence[Note]) -> WriteAnswer[Note]:
        refusal = await self.send([note.entry for note in notes])
        return WriteAnswer.of_all(notes, refusal or Delivered("1"))


class Refusing(HubSpot):
    """Refuses every send."""

    def __init__(self, refusal: Halt | RetryLater) -> None:
        super().__init__(lambda _inputs: pytest.fail("no contact is written"))
        self._refusal = refusal

    async def send(self, _entries: Sequence[TimelineEntry]) -> Halt | RetryLater:  # type: ignore[override]
        return self._refusal


@pytest.mark.parametrize(("refusal", "mode"), [(NO_TIER, "notes"), (PAGE, "custom_events"), (MOVED, "custom_events")])
async def test_notes_are_chosen_on_a_word_about_scopes_or_tier_and_on_nothing_else(
    refusal: Halt | RetryLater, mode: str
) -> None:
    bench, clock = Bench(), OwnedClock()
    bench.add(1, 1)
    [update] = bench.lanes.take_new(1)
    timeline = Timeline(Lanes(clock), Refusing(refusal), bench.timeline._rejections, bench.lease, CircuitBreaker(clock))
    timeline.automatic = True

    assert list(await timeline.leave([update])) == [update], "the entry waits"
    assert (timeline.mode, timeline.in_doubt) == (mode, refusal is NO_TIER)


@pytest.mark.parametrize(("automatic", "left_out"), [(True, 3), (False, 0)])
async def test_entries_that_the_portal_takes_in_no_form_are_counted_and_unwanted_ones_are_not(
    *, automatic: bool, left_out: int
) -> None:
    bench = Bench()
    bench.add(3, 1)
    bench.timeline.mode, bench.timeline.automatic = "off", automatic

    assert await bench.timeline.leave(bench.lanes.take_new(3)) == {}
    assert bench.timeline.left_out == left_out


def created(bench: Bench, contacts: int) -> list[ContactUpdate]:
    """Return updates of new contacts that HubSpot has created."""
    updates = bench.lanes.take_new(contacts)
    for update in updates:
        update.lane.contact_id = update.lane.key
    return updates


@pytest.mark.parametrize("mode", ["custom_events", "notes"])
async def test_an_entry_that_a_firewall_blocks_for_its_text_stops_no_other_and_becomes_a_dead_letter(
    mode: TimelineMode,
) -> None:
    bench, hubspot = Bench(), Firewall()
    timeline = Timeline(bench.lanes, hubspot, bench.timeline._rejections, bench.lease, bench.halt)
    timeline.mode = mode
    bench.add(8, 1)

    refused = await timeline.leave(created(bench, 8))

    assert [update.lane.key for update in refused] == ["c3@example.com"]
    assert sorted(hubspot.sent) == [f"c{number}@example.com" for number in range(8) if number != 3]
    for number in range(MOST_TRIES - 2):
        # Others pass meanwhile: without them it would be an outage.
        bench.add(1, 1, f"other{number}-")
        assert await timeline.leave(created(bench, 1)) == {}
        assert list(await timeline.leave(list(refused))) == list(refused)
    assert await timeline.leave(list(refused)) == {}
    assert bench.dead_letters.letters == [("timeline_entry_rejected", BLOCKED.detail)]


async def test_a_firewall_that_blocks_everything_is_an_outage_and_no_entry_is_lost() -> None:
    bench = Bench()
    timeline = Timeline(bench.lanes, Refusing(BLOCKED), bench.timeline._rejections, bench.lease, bench.halt)
    bench.add(100, 1)
    updates = bench.lanes.take_new(100)

    for _ in range(3 * MOST_TRIES):
        assert set(await timeline.leave(updates)) == set(updates)

    assert bench.halt.halted is not None
    assert bench.halt.halted.reason == "hubspot_unavailable"
    assert bench.dead_letters.letters == []
