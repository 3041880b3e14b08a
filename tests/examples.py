"""How many examples a property is tried with: NERAVA_TEST_EXAMPLES=all, which `make long` sets, tries all of them."""

import os
from typing import Final

ALL: Final = os.environ.get("NERAVA_TEST_EXAMPLES") == "all"


def examples(most: int) -> int:
    """Return *most* for `make long`, and a third of it for `make test`, which has other properties to try."""
    return most if ALL else most // 3
