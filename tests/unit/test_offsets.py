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
