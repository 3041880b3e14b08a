"""Backoff: the wait before an attempt, doubling, capped, and spread so that contacts don't come back together."""

import random
from typing import Final

FIRST_S: Final = 0.5
LONGEST_S: Final = 30.0


def backoff_s(attempts: int, jitter: random.Random, *, longest_s: float = LONGEST_S) -> float:
    """Return the seconds to wait after *attempts* failed attempts (1 or more): between half and all of the step."""
    # Clamped, since 2 to the power of a long outage overflows.
    step = min(FIRST_S * 2.0 ** min(attempts - 1, 16), longest_s)
    return step * jitter.uniform(0.5, 1.0)
