"""Backoff: the wait before an attempt. It doubles up to a limit, with jitter so that contacts don't retry at the same
time.
"""

import random
from typing import Final

FIRST_S: Final = 0.5
LONGEST_S: Final = 30.0


def backoff_s(attempts: int, jitter: random.Random, *, longest_s: float = LONGEST_S) -> float:
    """Return the seconds to wait after *attempts* failed attempts (1 or more): between half and all of the step."""
    # The exponent is clamped: the power would overflow after a long outage.
    step = min(FIRST_S * 2.0 ** min(attempts - 1, 16), longest_s)
    return step * jitter.uniform(0.5, 1.0)
