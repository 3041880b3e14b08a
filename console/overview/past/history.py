"""The history: samples of the flow for the charts, every five seconds of the last hour and every minute of a day.

It is kept in memory, so that no page waits for a disk; `history_file.py` keeps it beyond a restart of the console.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from statistics import fmean, median
from typing import Final, Literal, NamedTuple

from console.overview.backlog import COUNTED
from console.overview.flow import Flow

SAMPLE_EVERY_S: Final = 5
MINUTE_S: Final = 60
FINE_FOR_S: Final = 3_600
KEPT_FOR_S: Final = 24 * 3_600
# The span over which rates are averaged to tell whether the workers keep up.
RECENT_S: Final = 600
# The span over which what waits is compared, to tell whether it becomes more.
COMPARED_S: Final = 180
# A longer time without a sample is a gap: no line is drawn across it.
GAP_STEPS: Final = 3
DIGITS: Final = 4

Fold = Literal["mean", "highest"]
"""How the samples of a minute become one: the mean of a rate, the highest of what must not be overlooked."""


class Figure(NamedTuple):
    """A figure that is sampled."""

    of: Callable[[Flow], float | None]
    fold: Fold


FIGURES: Final[Mapping[str, Figure]] = {
    "outbox_rows": Figure(lambda flow: flow.outbox_rows, "highest"),
    "lag": Figure(lambda flow: flow.lag, "highest"),
    "written_per_s": Figure(lambda flow: flow.written_per_s, "mean"),
    "published_per_s": Figure(lambda flow: flow.published_per_s, "mean"),
    "delivered_per_s": Figure(lambda flow: flow.delivered_per_s, "mean"),
    "calls_per_s": Figure(lambda flow: flow.calls_per_s, "mean"),
    "latency_p50_s": Figure(lambda flow: flow.latency_p50_s, "mean"),
    "latency_p99_s": Figure(lambda flow: flow.latency_p99_s, "highest"),
    "quota_used": Figure(lambda flow: flow.quota.used if flow.quota else None, "highest"),
    "quota_limit": Figure(lambda flow: flow.quota.limit if flow.quota else None, "highest"),
}


class Sample(NamedTuple):
    """The figures at a moment, in seconds since 1970. A figure that was not known is None or absent."""

    at: int
    figures: Mapping[str, float | None]
    # The seconds that it stands for.
    step: int = SAMPLE_EVERY_S


def sample_of(flow: Flow) -> Sample:
    return Sample(int(flow.at.timestamp()), {name: _short(figure.of(flow)) for name, figure in FIGURES.items()})


@dataclass(frozen=True)
class Recent:
    """Means of the last minutes, per second, and the most that was delivered within a minute of the last day."""

    arriving_per_s: float | None = None
    delivered_per_s: float | None = None
    calls_per_s: float | None = None
    # The median of the day's minutes.
    usual_calls_per_s: float | None = None
    most_delivered_per_s: float | None = None
    # By how much what waits has risen in a second of the last few minutes.
    waiting_risen_per_s: float | None = None


class History:
    """The samples of the last hour, and the minutes of the last day. Both are in the order of their times."""

    def __init__(self) -> None:
        self.fine: Final[deque[Sample]] = deque(maxlen=FINE_FOR_S // SAMPLE_EVERY_S)
        self.minutes: Final[deque[Sample]] = deque(maxlen=KEPT_FOR_S // MINUTE_S)
        # The last sample, if its time does not fit to the one before it.
        self._odd: Sample | None = None

    def restore(self, fine: Iterable[Sample], minutes: Iterable[Sample], now: float) -> None:
        """Take what an earlier console has kept, as far as it is not too old.

        What is from a time to come stays until a second sample shows that it is not this console's clock that is wrong.
        """
        self.fine.extend(each for each in sorted(fine) if now - FINE_FOR_S <= each.at)
        self.minutes.extend(each for each in sorted(minutes) if now - KEPT_FOR_S <= each.at)

    def add(self, sample: Sample) -> Sequence[Sample]:
        """Add a sample; return what is new: the minute before it, if that is over now, and the sample.

        A clock that was set back, or by more than a day, is believed once a second sample agrees.
        """
        odd, self._odd = self._odd, None
        if self.fine and not _follows(sample, self.fine[-1]):
            if odd is None or not _follows(sample, odd):
                self._odd = sample
                return ()
            return [*self._added(odd), *self._added(sample)]
        return self._added(sample)

    def _added(self, sample: Sample) -> Sequence[Sample]:
        # After the clock was set back, a later sample would be in the way for as long.
        for samples in (self.fine, self.minutes):
            while samples and samples[-1].at >= sample.at:
                samples.pop()
        is_over = bool(self.fine) and self.fine[-1].at // MINUTE_S != sample.at // MINUTE_S
        over = self._last_minute() if is_over else None
        if over is not None:
            self.minutes.append(over)
        self.fine.append(sample)
        return [sample] if over is None else [over, sample]

    def since(self, earliest: float, after: float = 0.0) -> Sequence[Sample]:
        """Return the samples since *earliest*, and not before *after*: of more than an hour, its minutes."""
        samples: Sequence[Sample] = list(self.fine)
        if not samples or earliest < samples[-1].at - FINE_FOR_S - MINUTE_S:
            # The last minute goes on: whoever asks again *after* its beginning gets it anew.
            samples = [*self.minutes, *((last,) if (last := self._last_minute()) else ())]
        return [each for each in samples if each.at >= max(earliest, after)]

    def recent(self, now: float) -> Recent:
        samples = [each for each in self.fine if now - RECENT_S <= each.at <= now]
        delivered = _mean("delivered_per_s", samples)
        most, usual = _known("delivered_per_s", self.minutes), _known("calls_per_s", self.minutes)
        return Recent(
            arriving_per_s=_arriving(samples),
            delivered_per_s=delivered,
            calls_per_s=_mean("calls_per_s", samples),
            usual_calls_per_s=median(usual) if usual else None,
            most_delivered_per_s=max(most, default=delivered),
            waiting_risen_per_s=_waiting_risen([each for each in samples if each.at >= now - COMPARED_S]),
        )

    def _last_minute(self) -> Sample | None:
        """Return the minute of the last sample, unless it is among `minutes` already."""
        if not self.fine:
            return None
        begin = self.fine[-1].at // MINUTE_S * MINUTE_S
        if self.minutes and self.minutes[-1].at >= begin:
            return None
        return Sample(begin, _folded([each for each in self.fine if each.at >= begin]), MINUTE_S)


def _follows(sample: Sample, before: Sample) -> bool:
    return before.at < sample.at <= before.at + KEPT_FOR_S


def columns(samples: Sequence[Sample]) -> dict[str, list[float | None]]:
    """Return the samples by name, and their times as `at`, with a row of None in each gap."""
    rows: list[Sample] = []
    for sample in samples:
        if rows and sample.at - rows[-1].at > GAP_STEPS * max(rows[-1].step, sample.step):
            rows.append(Sample(rows[-1].at + 1, {}, sample.step))
        rows.append(sample)
    return {"at": [row.at for row in rows], **{name: [row.figures.get(name) for row in rows] for name in FIGURES}}


def _folded(samples: Sequence[Sample]) -> dict[str, float | None]:
    folds: Mapping[Fold, Callable[[Iterable[float]], float]] = {"mean": fmean, "highest": max}
    return {
        name: _short(folds[figure.fold](known)) if (known := _known(name, samples)) else None
        for name, figure in FIGURES.items()
    }


def _known(name: str, samples: Iterable[Sample]) -> list[float]:
    return [figure for sample in samples if (figure := sample.figures.get(name)) is not None]


def _mean(name: str, samples: Iterable[Sample]) -> float | None:
    known = _known(name, samples)
    return fmean(known) if known else None


def _arriving(samples: Sequence[Sample]) -> float | None:
    """Return the events that arrived in a second: on Kafka, and in the outbox, where the relay publishes them later."""
    rows = _known("outbox_rows", samples)
    if rows and rows[-1] >= COUNTED:
        return None
    if not rows:
        return _mean("written_per_s", samples)
    # What was written is not known while Kafka is away, so the outbox's growth of that time must not count either.
    # Nor is it known how an outbox grows that has more rows than are counted.
    counted = [each for each in samples if (each.figures.get("outbox_rows") or 0) < COUNTED]
    steps = _steps(("written_per_s", "outbox_rows"), counted)
    arrived = sum(written * seconds + growth for seconds, (written, _), (_, growth) in steps)
    return max(0.0, arrived / sum(seconds for seconds, _, _ in steps)) if steps else None


def _waiting_risen(samples: Sequence[Sample]) -> float | None:
    names = ("lag", "outbox_rows") if _known("outbox_rows", samples) else ("lag",)
    steps = _steps(names, samples)
    return sum(sum(risen) for _, _, risen in steps) / sum(seconds for seconds, _, _ in steps) if steps else None


def _steps(names: Sequence[str], samples: Sequence[Sample]) -> list[tuple[int, Sequence[float], Sequence[float]]]:
    """Return, for samples that follow each other and know these figures, the seconds, the figures and their growth."""
    found: list[tuple[int, Sequence[float], Sequence[float]]] = []
    for then, now in pairwise(samples):
        before, after = ([each.figures.get(name) for name in names] for each in (then, now))
        pairs = [
            (one, other) for one, other in zip(before, after, strict=True) if one is not None and other is not None
        ]
        if len(pairs) == len(names) and now.at - then.at <= GAP_STEPS * SAMPLE_EVERY_S:
            found.append((now.at - then.at, [new for _, new in pairs], [new - old for old, new in pairs]))
    return found


def _short(figure: float | None) -> float | None:
    # Few digits keep the charts' answer short; whole numbers stay whole. JSON has no number that is not finite.
    if figure is None or not isfinite(figure):
        return None
    return float(f"{figure:.{DIGITS}g}") if figure % 1 else figure
