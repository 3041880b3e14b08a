"""The journal: a log line per minute about the work since the line before, for installations without metrics."""

from collections.abc import Callable, Mapping
from typing import Final, NoReturn

from prometheus_client import Counter, Gauge

from runtime.clock import Clock

TELL_EVERY_S: Final = 60.0


class Journal:
    """Logs by *line*, at once and then every minute, the increase of each of *counters* and the values that *now*
    returns.
    """

    def __init__(
        self,
        line: Callable[..., None],
        counters: Mapping[str, Counter],
        now: Callable[[], Mapping[str, object]],
        clock: Clock,
    ) -> None:
        self._line: Final = line
        self._counters: Final = counters
        self._now: Final = now
        self._clock: Final = clock
        self._last: dict[str, int] = dict.fromkeys(counters, 0)

    async def keep(self) -> NoReturn:
        """Log until cancelled."""
        while True:
            self._line(**self._grown(), **self._now())
            await self._clock.sleep(TELL_EVERY_S)

    def _grown(self) -> dict[str, int]:
        totals = {name: _total(counter) for name, counter in self._counters.items()}
        grown = {name: total - self._last[name] for name, total in totals.items()}
        self._last = totals
        return grown


def reading(gauge: Gauge) -> float:
    """Return the value of a gauge without labels."""
    return round(sum(sample.value for metric in gauge.collect() for sample in metric.samples), 1)


def _total(counter: Counter) -> int:
    """Return the sum of a counter over all labels."""
    samples = [sample for metric in counter.collect() for sample in metric.samples]
    return round(sum(sample.value for sample in samples if sample.name.endswith("_total")))
