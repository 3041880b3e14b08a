"""Where the outbox is read from: no row can appear at a position that was passed, however transactions end."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.relay.backlog import REST, Backlog
from producer.relay.reading_point import BEFORE_ALL, LowWatermark, ReadingPoint, Writers
from tests.clock import OwnedClock


def looks(*seen: tuple[int, str]) -> LowWatermark:
    low_watermark = LowWatermark()
    for newest, transactions in seen:
        low_watermark.observe(Writers(newest, exact=True, transactions=frozenset(transactions.split())))
    return low_watermark


def test_no_position_is_passed_before_all_have_ended_who_may_have_one_up_to_it() -> None:
    assert looks((5, "2/7 3/1"), (9, "3/1 4/4")).position == 0
    assert looks((5, "2/7 3/1"), (9, "3/1 4/4"), (12, "4/4")).position == 5
    assert looks((5, "2/7 3/1"), (9, "3/1 4/4"), (12, "4/4"), (12, "4/5")).position == 12


def test_all_positions_are_passed_when_nobody_writes() -> None:
    assert looks((5, "")).position == 5


def test_a_transaction_that_is_prepared_meanwhile_is_waited_for_under_its_new_name() -> None:
    assert looks((5, "2/7"), (9, "-1/731")).position == 0
    assert looks((5, "2/7"), (9, "-1/731"), (9, "-1/731 3/4")).position == 0
    assert looks((5, "2/7"), (9, "-1/731"), (9, "-1/740 3/4")).position == 5


def test_others_that_are_prepared_all_the_time_hold_nothing_up_for_ever() -> None:
    looked = [(number, f"{number}/1 -1/{number}") for number in range(1, 10)]

    assert looks(*looked).position >= 5


def test_a_sequence_that_was_set_back_passes_nothing() -> None:
    low_watermark = looks((50, ""))

    assert not low_watermark.observe(Writers(3, exact=True, transactions=frozenset({"2/1"})))

    assert low_watermark.position == 0
    assert low_watermark.observe(Writers(4, exact=True, transactions=frozenset()))
    assert low_watermark.position == 4


@given(st.lists(st.sampled_from(["write", "commit", "prepare", "look"]), max_size=60), st.randoms())
def test_no_row_appears_up_to_a_position_that_was_passed(steps: list[str], chance: Random) -> None:
    low_watermark, newest, number = LowWatermark(), 0, 0
    # The open transactions, by name, each with its position.
    writing: dict[str, int] = {}
    for step in steps:
        if step == "look":
            low_watermark.observe(Writers(newest, exact=True, transactions=frozenset(writing)))
        elif step == "write":
            newest, number = newest + 1, number + 1
            writing[f"3/{number}"] = newest
        elif writing:
            position = writing.pop(name := chance.choice(sorted(writing)))
            if step == "commit":
                assert position > low_watermark.position
            else:
                number += 1
                writing[name if name.startswith("-1/") else f"-1/{number}"] = position


def test_a_relay_that_begins_again_reads_what_it_held_and_nothing_that_is_gone() -> None:
    point = ReadingPoint()
    point.after = 9
    point.go_on(9, held=[7, 8])
    point.rewind()

    assert point.after == 6


def test_a_row_where_none_should_be_is_read_and_one_that_is_held_is_not_read_again() -> None:
    point = ReadingPoint()
    point.after = 9
    point.go_on(9, held=[7])

    point.heed(7)
    assert point.after == 9
    point.heed(3)
    assert point.after == 2


class Outbox:
    """Has one row, at *first*, and takes its time for a look at all positions."""

    def __init__(self, clock: OwnedClock, first: int | None = None) -> None:
        self._clock = clock
        self.first = first
        self.looks: list[int] = []

    async def writers(self) -> Writers:
        return Writers(1_000, exact=True, transactions=frozenset())

    async def backlog(self, _at_most: int, after: int) -> tuple[int, int | None, float]:
        self.looks.append(after)
        if after == BEFORE_ALL:
            self._clock.advance(2)
        seen = self.first if self.first is not None and self.first > after else None
        return (0 if seen is None else 1), seen, 0.0


async def test_looks_at_the_backlog_pass_deleted_rows_once_in_a_while() -> None:
    clock, heeded = OwnedClock(), list[int]()
    outbox, backlog = Outbox(clock), Backlog(clock, heeded.append)
    for _ in range(3):
        await backlog.look(outbox)  # type: ignore[arg-type]
        clock.advance(3)
    assert outbox.looks == [BEFORE_ALL, 1_000, 1_000]

    outbox.first = 7
    clock.advance(REST * 2)

    assert await backlog.look(outbox) == (1, 0)  # type: ignore[arg-type]
    assert heeded == [7]
    # It waits still, which a look that passes no deleted rows sees too.
    assert await backlog.look(outbox) == (1, 0)  # type: ignore[arg-type]
    assert outbox.looks[3:] == [BEFORE_ALL, 6]


async def test_a_look_at_all_that_fails_is_not_repeated_at_once() -> None:
    clock = OwnedClock()
    outbox, backlog = Outbox(clock), Backlog(clock, lambda _: None)
    await backlog.look(outbox)  # type: ignore[arg-type]
    clock.advance(REST * 2)
    answers, outbox.backlog = outbox.backlog, fails(outbox.backlog)  # type: ignore[method-assign]
    with pytest.raises(TimeoutError):
        await backlog.look(outbox)  # type: ignore[arg-type]

    outbox.backlog = answers  # type: ignore[method-assign]
    await backlog.look(outbox)  # type: ignore[arg-type]

    assert outbox.looks == [BEFORE_ALL, BEFORE_ALL, 1_000]


def fails(answer: Callable[..., Any]) -> Callable[..., Any]:
    async def failing(*given: Any) -> Any:
        await answer(*given)
        raise TimeoutError

    return failing
