"""The journal: a log line per minute about the work since the line before, for installations without metrics."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, NoReturn

from prometheus_client import Counter, Gauge

from runtime.clock import Clock

TELL_EVERY_S: Final = 60.0


Journal = Callable[[], Coroutine[Any, Any, NoReturn]]
"""A call of `keep_journal` that is ready to be made."""


async def keep_journal(
    line: Callable[..., None],
    counters: Mapping[str, Counter],
    now: Callable[[], Mapping[str, object]],
    clock: Clock,
) -> NoReturn:
    """Log by *line*, at once and then every minute, the increase of each of *counters* and the values that *now*
    returns, until cancelled.
    """
    before = dict.fromkeys(counters, 0)
    while True:
        totals = {name: _total(counter) for name, counter in counters.items()}
        line(**{name: total - before[name] for name, total in totals.items()}, **now())
        before = totals
        await clock.sleep(TELL_EVERY_S)


def reading(gauge: Gauge) -> float:
    """Return the value of a gauge without labels."""
    return round(sum(sample.value for metric in gauge.collect() for sample in metric.samples), 1)


def _total(counter: Counter) -> int:
    """Return the sum of a counter over all labels."""
    samples = [sample for metric in counter.collect() for sample in metric.samples]
    return round(sum(sample.value for sample in samples if sample.name.endswith("_total")))
