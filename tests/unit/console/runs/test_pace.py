"""How fast a run is, and how long it still takes."""

import json

import pytest

from console.runs.pace import WINDOW_S, Pace
from console.runs.run import Progress


def test_the_rate_is_that_of_the_last_half_minute_and_the_rest_takes_as_long_at_it() -> None:
    pace = Pace()
    for after_s in range(61):
        # Ten a second at first, two a second for the last half minute.
        pace.take("contacts", 10 * after_s if after_s <= 30 else 300 + 2 * (after_s - 30), float(after_s))

    assert pace.per_s == pytest.approx(2.0)
    assert pace.left_s(400) == pytest.approx(20.0)
    assert pace.left_s(100) == 0.0
    assert pace.left_s(None) is None


def test_a_part_that_has_just_begun_has_no_rate_and_takes_none_from_the_part_before() -> None:
    pace = Pace()
    pace.take("read", 0, 0.0)
    pace.take("read", 1000, 10.0)
    pace.take("contacts", 0, 10.5)
    pace.take("contacts", 100, 11.0)

    assert pace.per_s is None
    pace.take("contacts", 100, 12.5)
    assert pace.per_s == pytest.approx(50.0)


def test_nothing_can_be_told_of_the_end_while_nothing_is_done() -> None:
    pace = Pace()
    pace.take("contacts", 500, 0.0)
    for after_s in (10.0, WINDOW_S, WINDOW_S + 10):
        pace.take("contacts", 500, after_s)

    assert (pace.per_s, pace.left_s(1000)) == (0.0, None)


def test_it_is_read_from_the_lines_of_the_process_whenever_these_are_read() -> None:
    progress = Progress()
    lines = [{"part": "contacts", "done": 10 * each, "total": 300, "after_s": each} for each in range(11)]
    lines.append({"part": "contacts", "done": 100, "total": 300, "after_s": "x"})
    progress.take("".join(f"{json.dumps(line)}\n" for line in lines).encode())

    assert progress.pace.per_s == pytest.approx(10.0)
    assert progress.left_s == pytest.approx(20.0)
