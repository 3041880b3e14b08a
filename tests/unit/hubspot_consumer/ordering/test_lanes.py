"""Lanes: each contact's events in order and once, whatever order they come in and whatever becomes of the calls."""

import random
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubspot_consumer.delivery.timeline import timeline_items
from hubspot_consumer.ordering.lane import HOLE_LIMIT_AFTER_LOOK_UP_S, HOLE_LIMIT_S, ContactUpdate, LaneState
from hubspot_consumer.ordering.lanes import Lanes
from hubspot_consumer.ordering.pending import Pending
from schemas.envelope import read_envelope
from tests.clock import OwnedClock
from tests.lane_bench import ADA, GRACE, Bench, HubSpot, answer, sequences_of
from tests.samples import envelope, pending, record, value


@pytest.fixture
def bench() -> Bench:
    return Bench()


@given(st.permutations(range(1, 13)), st.sets(st.integers(1, 12)), st.integers())
def test_any_order_of_arrival_any_outcome_of_calls_and_any_restart_applies_events_in_order_and_once(
    arrivals: list[int], unreadable: set[int], seed: int
) -> None:
    bench, chance, in_flight = Bench(), random.Random(seed), list[ContactUpdate]()
    readable = [sequence for sequence in sorted(arrivals) if sequence not in unreadable]
    hubspot, waiting = HubSpot(readable), list(arrivals)
    while waiting or in_flight or bench.busy:
        if waiting and chance.random() < 0.5:
            sequence = waiting.pop()
            bench.add(sequence, readable=sequence not in unreadable)
            if chance.random() < 0.2:
                waiting.append(sequence)  # The relay was restarted: it comes again.
        bench.look_up(hubspot.holds or 0)
        in_flight += bench.take()
        assert len(in_flight) <= 1, "a contact is in one call at a time"
        if chance.random() < 0.03:
            # The worker is restarted: what is not finished comes again, and something of what is.
            in_flight.clear()
            waiting += bench.restart()
            waiting += [sequence for _, sequence in bench.finished if chance.random() < 0.3]
        if in_flight and chance.random() < 0.7:
            answer(bench, hubspot, in_flight.pop(), chance)

    assert sorted(set(hubspot.entries)) == readable
    assert hubspot.holds == max(readable, default=None)
    assert set(bench.finished) == {(ADA, sequence) for sequence in arrivals}


def test_a_copy_of_a_pending_event_is_finished_with_it_and_not_before(bench: Bench) -> None:
    bench.add(1, 2)
    bench.add(1, 2)
    assert not bench.finished

    [update] = bench.take()
    bench.add(2)
    assert not bench.finished
    bench.lanes.finished(update)

    assert bench.finished == {(ADA, 1): 2, (ADA, 2): 3}


def test_consecutive_events_of_a_contact_travel_together(bench: Bench) -> None:
    bench.add(1, 2, 3)
    bench.add(1, key=GRACE)

    assert bench.taken() == [[1, 2, 3], [1]]


def test_a_hole_waits_and_what_fills_it_releases_all(bench: Bench) -> None:
    bench.add(1)
    bench.taken()
    bench.add(3, 4)
    assert bench.taken() == []
    assert bench.lanes.holes == 1

    bench.add(2)

    assert bench.taken() == [[2, 3, 4]]
    assert bench.lanes.holes_released == 0


def test_a_hole_that_never_fills_is_released_after_the_limit_and_counted(bench: Bench) -> None:
    bench.add(1)
    bench.taken()
    bench.add(3)
    bench.clock.advance(HOLE_LIMIT_S - 1)
    assert bench.taken() == []
    assert bench.lanes.wake() == pytest.approx(1)

    bench.clock.advance(1)

    assert bench.taken() == [[3]]
    assert bench.lanes.holes_released == 1


def test_a_hole_of_one_contact_holds_nobody_else_back(bench: Bench) -> None:
    bench.add(5)
    bench.add(1, key=GRACE)

    assert bench.taken() == [[1]]


def test_what_hubspot_holds_already_needs_only_its_timeline_entry(bench: Bench) -> None:
    bench.add(3, 4, 5, 6)
    bench.look_up(4)

    [update] = bench.lanes.take(100)
    assert (update.written, sequences_of(update)) == (True, [3, 4])
    bench.lanes.finished(update)
    [update] = bench.lanes.take(100)
    assert (update.written, sequences_of(update)) == (False, [5, 6])


def test_a_contact_whose_first_event_is_here_is_created_without_a_look_up(bench: Bench) -> None:
    bench.add(1, 2)

    assert (bench.lanes.new, bench.lanes.unknown) == (1, 0)
    [update] = bench.lanes.take_new(100)
    assert (update.creates, sequences_of(update)) == (True, [1, 2])
    bench.lanes.finished(update)
    bench.add(3)
    [update] = bench.lanes.take(100)
    assert (update.creates, sequences_of(update)) == (False, [3])


def test_a_contact_that_exists_already_is_looked_up_and_not_created_again(bench: Bench) -> None:
    bench.add(1, 2)
    [update] = bench.lanes.take_new(100)
    bench.lanes.exists(update)

    assert (bench.lanes.new, bench.lanes.unknown) == (0, 1)
    bench.look_up(1)
    [update] = bench.lanes.take(100)
    assert (update.written, update.creates, sequences_of(update)) == (True, False, [1])


def test_a_first_event_that_comes_late_spares_the_look_up(bench: Bench) -> None:
    bench.add(2)
    assert (bench.lanes.new, bench.lanes.unknown) == (0, 1)

    bench.add(1)

    assert (bench.lanes.new, bench.lanes.unknown) == (1, 0)


def test_when_hubspot_answers_again_nobody_backs_off_any_more(bench: Bench) -> None:
    bench.add(1)
    [update] = bench.take()
    bench.lanes.retry(update, wait_s=30)
    assert bench.take() == []

    bench.lanes.stop_backing_off()

    assert bench.taken() == [[1]]


def test_a_contact_that_nobody_can_look_up_begins_with_what_is_here(bench: Bench) -> None:
    bench.add(7)
    bench.look_up(None)

    assert bench.taken() == [[7]]


def test_a_finished_contact_is_remembered_and_not_looked_up_again(bench: Bench) -> None:
    bench.add(1)
    bench.taken()
    bench.add(2)

    assert (bench.lanes.unknown, bench.lanes.ready) == (0, 1)


def test_an_unreadable_event_keeps_its_place_and_lets_the_next_go_on(bench: Bench) -> None:
    bench.add(1, 3)
    bench.add(2, readable=False)

    assert bench.taken() == [[1]]
    assert bench.taken() == [[3]]
    assert bench.finished[ADA, 2] == 1


def test_an_unreadable_repeat_that_comes_while_its_contact_is_ready_is_passed_over(bench: Bench) -> None:
    bench.add(1)
    bench.taken()
    bench.add(2)
    bench.add(1, readable=False)

    assert bench.taken() == [[2]]
    assert bench.finished[ADA, 1] == 2


def test_a_rejected_fold_comes_again_in_halves_until_the_guilty_event_stands_alone(bench: Bench) -> None:
    bench.add(*range(1, 9))
    guilty, alone = 6, list[int]()
    for _ in range(20):
        for update in bench.take():
            if guilty in sequences_of(update) and len(update.events) > 1:
                bench.lanes.split(update)
            else:
                alone += sequences_of(update) if guilty in sequences_of(update) else []
                bench.lanes.finished(update)

    assert alone == [guilty]
    assert sorted(sequence for _, sequence in bench.finished) == list(range(1, 9))


def test_a_retry_waits_its_time_and_takes_along_what_came_meanwhile(bench: Bench) -> None:
    bench.add(1)
    [update] = bench.take()
    bench.add(2)
    assert bench.take() == []
    bench.lanes.retry(update, wait_s=3)
    assert bench.taken() == []
    assert bench.lanes.backing_off == 1

    bench.clock.advance(3)

    assert bench.taken() == [[1, 2]]


def test_after_forgetting_a_call_that_ends_late_neither_acks_twice_nor_blocks_the_new_lane(bench: Bench) -> None:
    bench.add(1, 2)
    [old] = bench.take()
    bench.lanes.forget()
    bench.add(1, 2)

    bench.lanes.retry(old, wait_s=100)

    assert bench.taken() == [[1, 2]]
    assert not bench.lanes.backing_off


def test_what_was_applied_before_a_restart_leaves_its_entries_in_order_however_its_topics_are_read() -> None:
    clock, read_as_far = OwnedClock(), False
    lanes = Lanes(clock, lambda *_: read_as_far)
    lanes.add(ADA, pending(8, lambda: None))
    [lane] = lanes.take_unknown(100)
    lanes.known(lane, "1", 7)
    assert (lanes.ready, lanes.holes) == (0, 1), "event 6 or 7 may be unread, and its entry not sent"
    clock.advance(3_600)
    lanes.wake()
    assert (lanes.ready, lanes.holes) == (0, 1), "no time limit can tell that it is read"

    lanes.add(ADA, pending(6, lambda: None))
    lanes.add(ADA, pending(7, lambda: None))
    read_as_far = True
    clock.advance(1)
    lanes.wake()
    updates = lanes.take(100)
    assert [sequences_of(update) for update in updates] == [[6, 7]]
    lanes.finished(updates[0])

    assert [sequences_of(update) for update in lanes.take(100)] == [[8]]


@given(st.lists(st.integers(0, 2), min_size=12, max_size=12), st.sets(st.integers(1, 12)), st.integers())
def test_whatever_somebody_else_applies_entries_leave_in_order_however_the_topics_are_read(
    dealt: list[int], unreadable: set[int], seed: int
) -> None:
    chance = random.Random(seed)
    unread: list[list[int]] = [[sequence for sequence in range(1, 13) if dealt[sequence - 1] == n] for n in range(3)]
    bench, holds, entries = Bench(), 0, list[int]()
    bench.lanes = Lanes(bench.clock, lambda record: all(record.offset < first for first, *_ in filter(None, unread)))
    while any(unread) or bench.busy:
        if any(unread):
            sequence = chance.choice([topic for topic in unread if topic]).pop(0)
            bench.add(sequence, readable=sequence not in unreadable)
        if chance.random() < 0.1:
            holds = chance.randint(holds, 12)
            bench.lanes.written(ADA, holds, None)
        if chance.random() < 0.05:
            again = bench.restart()
            unread = [sorted({*topic, *(n for n in again if dealt[n - 1] == i)}) for i, topic in enumerate(unread)]
        bench.look_up(holds)
        for update in bench.take():
            if update.creates and holds:
                bench.lanes.exists(update)
                continue
            holds = max(holds, *sequences_of(update))
            entries += [sequence for sequence in sequences_of(update) if sequence not in entries]
            bench.lanes.finished(update)
        bench.clock.advance(1)

    assert entries == [sequence for sequence in range(1, 13) if sequence not in unreadable]


def test_a_hole_is_not_given_up_while_what_is_missing_may_be_unread() -> None:
    clock, read_as_far = OwnedClock(), False
    lanes = Lanes(clock, lambda *_: read_as_far)
    lanes.add(ADA, pending(2, lambda: None))
    [lane] = lanes.take_unknown(100)
    lanes.known(lane, None, 0)
    clock.advance(HOLE_LIMIT_S * 10)
    lanes.wake()
    assert (lanes.ready, lanes.holes_released) == (0, 0)

    read_as_far = True
    clock.advance(10)
    lanes.wake()

    assert (lanes.ready, lanes.holes_released) == (1, 1)


def test_a_contact_that_was_deleted_in_hubspot_does_not_wait_for_what_was_applied_before(bench: Bench) -> None:
    bench.add(5)
    assert not bench.take()
    bench.clock.advance(HOLE_LIMIT_AFTER_LOOK_UP_S - 1)
    assert not bench.take()
    bench.clock.advance(2)
    assert bench.taken() == [[5]]

    bench.add(7)
    bench.clock.advance(HOLE_LIMIT_S - 1)
    assert not bench.take(), "what comes next after that is waited for as ever"
    bench.clock.advance(2)
    assert bench.taken() == [[7]]


def test_the_architecture_page_tells_of_each_state_of_a_lane() -> None:
    page = (Path(__file__).parents[4] / "docs" / "architecture.md").read_text()
    table = page.split("| state | the lane | what moves it on |")[1].split("\n\n")[0]

    told = re.findall(r"^\| ([a-z ]+) \|", table, re.MULTILINE)

    assert set(told) == {state.name.lower().replace("_", " ") for state in LaneState}


def event(sequence: int, number: int, finished: list[int], *, stored_at: int = 0) -> Pending:
    """Return an event of that sequence whose id and place have that number; it is finished by that number."""
    made = read_envelope(ADA.encode(), value(envelope("nova_earned", sequence, ADA, id=str(UUID(int=number)))))
    stored = replace(record(offset=number), timestamp=datetime(2026, 11, 24, 3, stored_at, tzinfo=UTC))
    return Pending(sequence, made, stored, lambda: finished.append(number))


def outcomes(bench: Bench) -> list[tuple[int, bool]]:
    """Take and finish what is ready, until nothing is; return the ids, and whether each event's sequence is reused."""
    found = []
    while updates := bench.take():
        for update in updates:
            found += [(each.id, update.reused) for each in update.events]
            bench.lanes.finished(update)
    return found


@pytest.mark.parametrize("arrivals", [(11, 12), (12, 11)])
def test_of_two_pending_events_with_one_sequence_the_one_stored_first_has_it_and_both_are_accounted_for(
    bench: Bench, arrivals: tuple[int, int]
) -> None:
    finished: list[int] = []
    for number in arrivals:
        bench.lanes.add(ADA, event(1, number, finished, stored_at=number))

    assert sorted(outcomes(bench)) == [(11, False), (12, True)]
    assert sorted(finished) == [11, 12]


def test_an_event_whose_sequence_a_finished_event_has_is_reused_and_a_copy_is_not(bench: Bench) -> None:
    finished: list[int] = []
    for number in (11, 12, 13):
        bench.lanes.add(ADA, event(number - 10, number, finished))
    assert outcomes(bench) == [(11, False), (12, False), (13, False)]

    bench.lanes.add(ADA, event(2, 22, finished))
    bench.lanes.add(ADA, event(2, 12, finished))

    assert sorted(outcomes(bench)) == [(12, False), (22, True)]
    assert sorted(finished) == [11, 12, 12, 13, 22]


def test_a_reused_event_that_can_not_be_set_aside_yet_stays_pending(bench: Bench) -> None:
    finished: list[int] = []
    for number in (11, 12):
        bench.lanes.add(ADA, event(1, number, finished))
    [update] = bench.take()
    assert [each.id for each in update.events] == [11], "nobody knows yet which of the two HubSpot has"
    bench.lanes.finished(update)
    [update] = bench.take()
    assert update.reused

    bench.lanes.retry(update, 5.0)
    assert bench.take() == []
    bench.clock.advance(6.0)

    assert outcomes(bench) == [(12, True)]
    assert finished == [11, 12]


def test_an_event_in_a_call_keeps_its_sequence_though_another_was_stored_before_it(bench: Bench) -> None:
    finished: list[int] = []
    bench.lanes.add(ADA, event(1, 12, finished, stored_at=2))
    [update] = bench.take()
    bench.lanes.add(ADA, event(1, 11, finished, stored_at=1))
    bench.lanes.finished(update)

    assert outcomes(bench) == [(11, True)]
    assert finished == [12, 11]


def test_a_readable_event_takes_the_place_of_an_unreadable_record_with_its_sequence(bench: Bench) -> None:
    finished: list[int] = []
    bench.lanes.add(ADA, Pending(1, None, record(offset=5), lambda: finished.append(5)))
    bench.lanes.add(ADA, event(1, 11, finished))

    assert outcomes(bench) == [(11, False)]
    assert sorted(finished) == [5, 11]


def test_a_look_up_tells_pending_events_whose_sequence_another_event_has_and_their_copies_end_with_them(
    bench: Bench,
) -> None:
    finished: list[int] = []
    for number in (12, 12, 13):
        bench.lanes.add(ADA, event(number - 10, number, finished))
    [lane] = bench.lanes.take_unknown(100)

    bench.lanes.known(lane, "1", 2, {1: 11, 2: 22})

    assert sorted(outcomes(bench)) == [(12, True), (13, False)]
    assert sorted(finished) == [12, 12, 13]
    assert lane.ids == {1: 11, 2: 22, 3: 13}


def test_a_doubtful_contact_that_somebody_else_has_written_is_looked_up_again(bench: Bench) -> None:
    bench.add(4)
    [lane] = bench.lanes.take_unknown(100)
    bench.lanes.known(lane, "1", 999, {3: 33})
    [update] = bench.lanes.take(100)
    assert (update.doubtful, sequences_of(update)) == (True, [4]), "nobody knows whether it was applied"
    bench.lanes.retry(update, 5.0)

    bench.lanes.hold([ADA])
    bench.lanes.written(ADA, 5, "1")
    bench.lanes.release(ADA)
    bench.clock.advance(6)
    bench.lanes.wake()

    assert [lane.key for lane in bench.lanes.take_unknown(100)] == [ADA]


def test_an_earlier_version_may_have_written_further_than_the_newest_id_as_long_as_no_event_depends_on_it(
    bench: Bench,
) -> None:
    finished: list[int] = []
    for number in (33, 36):
        bench.lanes.add(ADA, event(number - 30, number, finished))
    [lane] = bench.lanes.take_unknown(100)
    bench.lanes.known(lane, "1", 5, {3: 33})

    assert [(update.repeated, update.doubtful) for update in (bench.take(), bench.take())[0]] == [(True, False)]
    bench.add(6)
    bench.lanes.forget()
    bench.lanes.add(ADA, event(7, 37, finished))

    assert [lane.key for lane in bench.lanes.take_unknown(100)] == [ADA], "an unsure contact is looked up each time"


def test_an_event_that_was_set_aside_stays_so_while_the_others_of_its_update_are_tried_again(bench: Bench) -> None:
    bench.add(1, 2, 3)
    [update] = bench.take()
    update.written = True
    update.set_aside.append(update.events[1])
    bench.lanes.retry(update, 0.0)

    [again] = bench.take()

    assert sequences_of(again) == [1, 2, 3]
    assert again.set_aside == [update.events[1]]
    assert [item.event.sequence for item in timeline_items([again])] == [1, 3]
    bench.lanes.finished(again)
    bench.add(4)
    assert [each.set_aside for each in bench.take()] == [[]]


def test_a_written_event_that_waits_for_its_entry_keeps_its_sequence_whatever_is_read_meanwhile(bench: Bench) -> None:
    finished: list[int] = []
    bench.lanes.add(ADA, event(1, 10, finished, stored_at=30))
    [update] = bench.take()
    update.written = True
    bench.lanes.retry(update, 5.0)

    # Kafka stored it before the other one.
    bench.lanes.add(ADA, event(1, 11, finished, stored_at=20))
    bench.clock.advance(6)

    assert sorted(outcomes(bench)) == [(10, False), (11, True)]
