"""The backlog: how many rows wait in the outbox, and since when. Deleted rows that vacuum can't remove cost little."""

from collections.abc import Callable
from typing import Final

from producer.relay.outbox import Outbox
from producer.relay.reading_point import BEFORE_ALL, LowWatermark
from runtime.clock import Clock

# A higher count would cost the database more than it is worth.
COUNT_UP_TO: Final = 100_000
# A look at all positions passes all deleted rows that vacuum has not removed. The next one waits for so many times as
# long as it took.
REST: Final = 50


class Backlog:
    """Looks at the outbox now and then. *heed* is called with the position of the first row that waits.

    Rows that were inserted by hand may be at positions that were passed: the looks at all positions find them.
    """

    def __init__(self, clock: Clock, heed: Callable[[int], None]) -> None:
        self._clock: Final = clock
        self._heed: Final = heed
        self._low_watermark: Final = LowWatermark()
        self._after = BEFORE_ALL
        self._look_at_all_at = float("-inf")

    async def look(self, outbox: Outbox) -> tuple[int, float]:
        """Return how many rows wait (counted up to COUNT_UP_TO), and the age of the first in seconds."""
        began = self._clock.monotonic()
        at_all = began >= self._look_at_all_at
        if not self._low_watermark.observe(await outbox.writers()) or not self._low_watermark.exact:
            self._after = BEFORE_ALL
        low_watermark, after = self._low_watermark.position, BEFORE_ALL if at_all else self._after
        try:
            count, first, oldest_s = await outbox.backlog(COUNT_UP_TO, after)
        finally:
            if at_all:
                now = self._clock.monotonic()
                self._look_at_all_at = now + REST * (now - began)
        self._after = max(after, low_watermark if first is None else min(first - 1, low_watermark))
        if first is not None:
            self._heed(first)
        return count, oldest_s
