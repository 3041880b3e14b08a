"""Backoff: doubling, capped, spread."""

import random

from hypothesis import given
from hypothesis import strategies as st

from runtime.clock import FIRST_S, LONGEST_S, backoff_s


@given(st.integers(1, 10**9), st.integers())
def test_the_wait_is_between_half_and_all_of_a_step_that_doubles_up_to_a_cap(attempts: int, seed: int) -> None:
    step = min(FIRST_S * 2 ** min(attempts - 1, 60), LONGEST_S)

    assert step / 2 <= backoff_s(attempts, random.Random(seed)) <= step


def test_waits_are_spread() -> None:
    jitter = random.Random(1)

    assert len({backoff_s(3, jitter) for _ in range(100)}) > 90
