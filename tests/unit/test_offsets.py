"""Acks in offset order, whatever order events finish in."""

from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from hubspot_consumer.offsets import Offsets


@given(st.permutations(range(30)), st.lists(st.integers(0, 29)))
def test_acks_come_in_offset_order_and_never_past_an_unfinished_event(order: list[int], again: list[int]) -> None:
    offsets, acked = Offsets(), list[int]()
    finish = [offsets.begin("topic", 0, number, partial(acked.append, number)) for number in range(30)]
    finished = set()

    for number in [*order, *again]:
        finish[number]()
        finished.add(number)
        done_from_the_start = next((offset for offset in range(30) if offset not in finished), 30)
        assert acked == list(range(done_from_the_start))
    assert offsets.unfinished == 0


def test_partitions_do_not_wait_for_each_other() -> None:
    offsets, acked = Offsets(), list[str]()
    offsets.begin("topic", 0, 0, lambda: acked.append("first"))
    finish = offsets.begin("topic", 1, 0, lambda: acked.append("second"))

    finish()

    assert acked == ["second"]
    assert offsets.unfinished == 1


def test_what_was_forgotten_is_never_acked() -> None:
    offsets, acked = Offsets(), list[int]()
    finish = [offsets.begin("topic", 0, number, partial(acked.append, number)) for number in range(3)]

    offsets.forget()
    again = offsets.begin("topic", 0, 0, lambda: acked.append(100))
    for done in finish:
        done()

    assert acked == []
    again()
    assert acked == [100]


@given(st.permutations(range(30)), st.integers(0, 30))
def test_what_is_withheld_is_acked_in_order_when_it_is_finished_and_let_go(order: list[int], steps: int) -> None:
    """Fifteen events: an even step finishes one, an odd one lets it go."""
    offsets, acked = Offsets(), list[int]()
    finish = [offsets.begin("topic", 0, number, partial(acked.append, number)) for number in range(15)]
    let_go = [offsets.withhold("topic", 0, number) for number in range(15)]

    for step in order[:steps]:
        (let_go if step % 2 else finish)[step // 2]()

    done = {number for number in range(15) if {2 * number, 2 * number + 1} <= set(order[:steps])}
    assert acked == list(range(next((number for number in range(15) if number not in done), 15)))
    assert offsets.unfinished == 15 - len(acked)


def test_what_is_not_held_is_nobodys_to_withhold() -> None:
    offsets, acked = Offsets(), list[int]()
    offsets.begin("topic", 0, 0, lambda: acked.append(0))()

    for topic, offset in (("topic", 0), ("topic", 7), ("another", 0)):
        offsets.withhold(topic, 0, offset)()

    assert acked == [0]


def test_what_was_withheld_before_a_rebalance_acks_nothing_after_it() -> None:
    offsets, acked = Offsets(), list[int]()
    finish, let_go = offsets.begin("topic", 0, 0, lambda: acked.append(0)), offsets.withhold("topic", 0, 0)
    offsets.forget()
    finish_again = offsets.begin("topic", 0, 0, lambda: acked.append(1))
    let_go_again = offsets.withhold("topic", 0, 0)

    finish()
    let_go()
    finish_again()

    assert acked == []
    let_go_again()
    assert acked == [1]
