"""The workers one by one: what each does, and which of them is slow."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Final

from console.overview.latency import in_words, quantiles_of
from console.overview.services import Report
from console.overview.source import MINUTE_S, Source

# A worker is slow if half of its events take so many times as long as those of the other workers, and so much longer.
SLOW_TIMES: Final = 2.0
SLOW_BY_S: Final = 0.5


@dataclass(frozen=True)
class WorkerFigures:
    """One worker's figures. Rates are per second, spans in seconds, shares between 0 and 1; None is unknown.

    `partitions` is its share of the partitions, and so of the quota; `calls` its share of the workers' calls.
    """

    name: str
    trouble: str | None = None
    version: str | None = None
    mode: str | None = None
    halt: str | None = None
    unwell: Sequence[str] = ()
    partitions: float | None = None
    calls: float | None = None
    calls_per_s: float | None = None
    delivered_per_s: float | None = None
    latency_p50_s: float | None = None
    latency_p99_s: float | None = None
    unfinished: float | None = None
    # Whether it has finished none of its events for a minute.
    stands: bool = False
    # The reason why it counts as slow, in words; empty if it does not.
    slow: str = ""

    @property
    def address(self) -> str:
        return self.name.removeprefix("worker ")

    @property
    def is_live(self) -> bool:
        return self.trouble is None and self.mode == "live"

    @property
    def urgency(self) -> tuple[bool, ...]:
        return (self.trouble is not None, bool(self.slow), self.halt is not None, bool(self.unwell))


def one_by_one(sources: Iterable[Source[Report]]) -> tuple[WorkerFigures, ...]:
    """Return the figures of each worker: first those in trouble, then the slow ones."""
    found = [_figures(source) for source in sources]
    calls = sum(worker.calls_per_s or 0.0 for worker in found)
    shared = [
        replace(worker, calls=worker.calls_per_s / calls if worker.calls_per_s is not None and calls else None)
        for worker in found
    ]
    marked = [replace(worker, slow=_why_slow(worker, shared)) for worker in shared]
    # The others keep their places, so that rows do not jump with each figure.
    return tuple(sorted(marked, key=lambda worker: worker.urgency, reverse=True))


def _figures(source: Source[Report]) -> WorkerFigures:
    if (report := source.answer) is None:
        return WorkerFigures(source.name, source.trouble)
    status = report.status
    quota, halted = status["quota"] or {}, status["halted"]
    share, lent = quota.get("share"), quota.get("lent") or 0.0
    p50, p99 = quantiles_of([source])
    return WorkerFigures(
        source.name,
        version=status.get("version"),
        mode=status["mode"],
        halt=halted["reason"] if halted else None,
        unwell=[f"{part}: {why}" for part, why in report.unwell.items()],
        # A share of the quota is that of the partitions, without the part that is lent to a run.
        partitions=min(1.0, share / (1 - lent)) if share is not None and lent < 1 else share,
        calls_per_s=source.rate(lambda each: each.metrics.total("hubspot_consumer_calls_total")),
        delivered_per_s=source.rate(_delivered),
        latency_p50_s=p50,
        latency_p99_s=p99,
        unfinished=float(status["in_flight"]["events"]),
        stands=bool(source.between(MINUTE_S, _stood)) and source.spans(MINUTE_S) and not halted,
    )


def _delivered(report: Report) -> float:
    return report.metrics.total("hubspot_consumer_events_delivered_total")


def _stood(now: Report, then: Report) -> bool:
    waited = min(now.status["in_flight"]["events"], then.status["in_flight"]["events"]) > 0
    return waited and _delivered(now) == _delivered(then)


def _why_slow(worker: WorkerFigures, workers: Sequence[WorkerFigures]) -> str:
    others = [each for each in workers if each.name != worker.name and each.trouble is None]
    if worker.stands and any(other.delivered_per_s for other in others):
        return "has events in memory, and has delivered none for a minute, while others deliver"
    of_others = [other.latency_p50_s for other in others if other.latency_p50_s is not None]
    if worker.latency_p50_s is None or not of_others:
        return ""
    usual_s = median(of_others)
    if worker.latency_p50_s < max(usual_s * SLOW_TIMES, usual_s + SLOW_BY_S):
        return ""
    return f"takes {in_words(worker.latency_p50_s)} from commit to HubSpot, the others {in_words(usual_s)}"
