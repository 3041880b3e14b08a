"""What is committed: each partition up to its first unfinished record, whatever order records finish in."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubspot_consumer.kafka.offsets import Offsets

PLACE = ("topic", 0)
ANOTHER = ("topic", 1)


def read(offsets: Offsets, *numbers: int) -> list[Callable[[], None]]:
    return [offsets.begin(PLACE, number) for number in numbers]


@pytest.fixture
def offsets() -> Offsets:
    held = Offsets()
    held.assigned({PLACE: 0, ANOTHER: 0})
    return held


@given(st.integers(0, 5), st.sets(st.integers(0, 60)), st.permutations(range(30)), st.lists(st.integers(0, 29)))
def test_what_is_committable_never_passes_an_unfinished_record_and_nothing_finished_before_it_is_left_out(
    start: int, holes: set[int], order: list[int], again: list[int]
) -> None:
    offsets = Offsets()
    offsets.assigned({PLACE: start})
    # Kafka may hold no record at some of the offsets.
    numbers = [number for number in range(start, start + 91) if number not in holes][:30]
    finish = read(offsets, *numbers)
    finished: set[int] = set()

    for step in [*order, *again]:
        finish[step]()
        finished.add(numbers[step])
        unfinished = [number for number in numbers if number not in finished]
        done = [number for number in numbers if not unfinished or number < unfinished[0]]
        assert offsets.committable() == ({PLACE: done[-1] + 1} if done else {})
    assert offsets.unfinished == 0


def test_partitions_do_not_wait_for_each_other(offsets: Offsets) -> None:
    offsets.begin(PLACE, 0)

    offsets.begin(ANOTHER, 0)()

    assert offsets.committable() == {ANOTHER: 1}
    assert offsets.unfinished == 1


def test_what_was_committed_is_not_committed_again_before_there_is_more(offsets: Offsets) -> None:
    first, second = read(offsets, 0, 1)
    first()
    offsets.committed(offsets.committable())
    assert offsets.committable() == {}

    second()

    assert offsets.committable() == {PLACE: 2}


def test_what_was_forgotten_is_never_committed(offsets: Offsets) -> None:
    finish = read(offsets, 0, 1, 2)

    offsets.forget()
    offsets.assigned({PLACE: 0})
    [again] = read(offsets, 0)
    for done in finish:
        done()

    assert offsets.committable() == {}
    again()
    assert offsets.committable() == {PLACE: 1}


def test_a_record_of_a_partition_that_is_not_held_is_nobodys(offsets: Offsets) -> None:
    offsets.begin(("another", 0), 7)()

    assert (offsets.committable(), offsets.unfinished, offsets.next_of(("another", 0))) == ({}, 0, None)


def test_where_kafka_holds_nothing_behind_what_is_finished_that_is_committed_too(offsets: Offsets) -> None:
    finish = read(offsets, 0, 1)
    finish[0]()

    offsets.pass_over(PLACE, 2, 5)

    assert (offsets.next_of(PLACE), offsets.committable()) == (5, {PLACE: 1})
    finish[1]()
    assert offsets.committable() == {PLACE: 5}


def test_what_was_handed_on_and_not_read_is_not_passed_over(offsets: Offsets) -> None:
    read(offsets, 0)[0]()

    offsets.pass_over(PLACE, 2, 5)

    assert (offsets.next_of(PLACE), offsets.committable()) == (1, {PLACE: 1})


def test_a_partition_is_sought_back_once_and_again_when_the_same_records_come_without_the_next(
    offsets: Offsets,
) -> None:
    assert [offsets.reread(PLACE, number) for number in (3, 4, 5)] == [True, False, False]
    assert [offsets.reread(PLACE, number) for number in (3, 4, 5)] == [True, False, False]

    read(offsets, 0)

    assert offsets.reread(PLACE, 6)


@given(st.permutations(range(30)), st.integers(0, 30))
def test_what_is_withheld_is_committed_in_order_when_it_is_finished_and_let_go(order: list[int], steps: int) -> None:
    """Fifteen records: an even step finishes one, an odd one lets it go."""
    offsets = Offsets()
    offsets.assigned({PLACE: 0})
    finish = read(offsets, *range(15))
    let_go = [offsets.defer(PLACE, number) for number in range(15)]

    for step in order[:steps]:
        (let_go if step % 2 else finish)[step // 2]()

    done = {number for number in range(15) if {2 * number, 2 * number + 1} <= set(order[:steps])}
    first = next((number for number in range(15) if number not in done), 15)
    assert offsets.committable() == ({PLACE: first} if first else {})
    assert offsets.unfinished == 15 - first


def test_what_is_not_held_is_nobodys_to_withhold(offsets: Offsets) -> None:
    read(offsets, 0)[0]()

    for topic, offset in (("topic", 0), ("topic", 7), ("another", 0)):
        offsets.defer((topic, 0), offset)()

    assert offsets.committable() == {PLACE: 1}


def test_what_was_withheld_before_a_rebalance_lets_nothing_be_committed_after_it(offsets: Offsets) -> None:
    [finish], let_go = read(offsets, 0), offsets.defer(PLACE, 0)
    offsets.forget()
    offsets.assigned({PLACE: 0})
    [finish_again], let_go_again = read(offsets, 0), offsets.defer(PLACE, 0)

    finish()
    let_go()
    finish_again()

    assert offsets.committable() == {}
    let_go_again()
    assert offsets.committable() == {PLACE: 1}
