"""The overview: how events flow now, step by step. A figure without a fresh source is None."""

from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NoReturn

from console.overview.backlog import OutboxBacklog, TopicsBacklog
from console.overview.exposition import quantile, risen
from console.overview.services import Producer, WorkerStatus
from console.overview.source import Source
from runtime.clock import Clock

SAMPLE_EVERY_S: Final = 5.0
SAMPLES: Final = 720
# The window of the quantiles of the time from commit to HubSpot.
LATENCY_OF_S: Final = 60.0


@dataclass(frozen=True)
class Unreachable:
    """A source without a usable answer: its name, the reason, and when it last answered."""

    name: str
    why: str
    told_at: datetime | None


@dataclass(frozen=True)
class Quota:
    """The burst quota over all workers, and the account's daily quota, in calls."""

    limit: float
    window_s: float
    used: float
    daily_limit: float
    daily_remaining: float
    daily_resets_at: datetime | None


@dataclass(frozen=True)
class Flow:
    """The figures of a moment. Rates are per second unless named otherwise, spans are in seconds; None is unknown."""

    at: datetime
    outbox_rows: float | None = None
    outbox_oldest_s: float | None = None
    parked: float | None = None
    relay_active: bool | None = None
    published_per_s: float | None = None
    written_per_s: float | None = None
    lag: float | None = None
    lag_by_topic: Mapping[str, int] = field(default_factory=dict)
    workers: int = 0
    workers_known: int = 0
    modes: frozenset[str] = frozenset()
    unfinished: float | None = None
    contacts: Mapping[str, int] = field(default_factory=dict)
    delivered_per_s: float | None = None
    calls_per_s: float | None = None
    rate_limited_per_min: float | None = None
    events_per_call: float | None = None
    latency_p50_s: float | None = None
    latency_p99_s: float | None = None
    quota: Quota | None = None
    dead_letters_per_min: float | None = None
    halts: tuple[Mapping[str, str], ...] = ()
    unwell: tuple[str, ...] = ()
    unreachable: tuple[Unreachable, ...] = ()
    # `group` is the consumer group whose lag is shown; `other_groups` has the groups of workers that use another one.
    group: str = ""
    other_groups: Mapping[str, str] = field(default_factory=dict)

    @property
    def some_workers_unknown(self) -> bool:
        """Whether the workers' sums cover only some of them."""
        return 0 < self.workers_known < self.workers


# The figures that the charts draw, by name.
CHARTED: Final[Mapping[str, Callable[[Flow], float | None]]] = {
    "outbox_rows": lambda flow: flow.outbox_rows,
    "lag": lambda flow: flow.lag,
    "published_per_s": lambda flow: flow.published_per_s,
    "delivered_per_s": lambda flow: flow.delivered_per_s,
    "latency_p50_s": lambda flow: flow.latency_p50_s,
    "latency_p99_s": lambda flow: flow.latency_p99_s,
    "calls_per_s": lambda flow: flow.calls_per_s,
    "quota_used": lambda flow: flow.quota.used if flow.quota else None,
    "quota_limit": lambda flow: flow.quota.limit if flow.quota else None,
}


class Overview:
    """Combines all sources into one flow, and keeps the samples of the last hour for the charts."""

    def __init__(  # noqa: PLR0913 - the composition root wires each of them by name
        self,
        *,
        producers: Sequence[Source[Producer]],
        workers: Sequence[Source[WorkerStatus]],
        topics: Source[TopicsBacklog],
        outbox: Source[OutboxBacklog] | None,
        group: str,
        clock: Clock,
    ) -> None:
        self._producers: Final = producers
        self.workers: Final = workers
        self._topics: Final = topics
        self._outbox: Final = outbox
        self._group: Final = group
        self._clock = clock
        self._samples: deque[Flow] = deque(maxlen=SAMPLES)

    def works(self) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        """Return the coroutine functions that have to run while the console is served."""
        return [self._sample, *(source.watch for source in self._sources())]

    async def _sample(self) -> NoReturn:
        while True:
            await self._clock.sleep(SAMPLE_EVERY_S)
            self._samples.append(self.now())

    def now(self) -> Flow:
        """Return the current flow."""
        known = [(source, worker) for source in self.workers if (worker := source.answer) is not None]
        sources = [source for source, _ in known]
        delivered = _sum(source.rate(lambda worker: worker.delivered) for source in sources)
        calls = _sum(source.rate(lambda worker: worker.calls) for source in sources)
        p50, p99 = self._latency()
        return Flow(
            at=self._clock.now(),
            **self._before_the_workers(),
            workers=len(self.workers),
            workers_known=len(known),
            modes=frozenset(str(worker.status["mode"]) for _, worker in known),
            unfinished=_sum(float(worker.status["in_flight"]["events"]) for _, worker in known),
            contacts=_added(worker.status["contacts"] for _, worker in known),
            delivered_per_s=delivered,
            calls_per_s=calls,
            events_per_call=delivered / calls if delivered is not None and calls else None,
            rate_limited_per_min=_sum(source.increase(lambda worker: worker.rate_limited, 60) for source in sources),
            dead_letters_per_min=_sum(source.increase(lambda worker: worker.dead_letters, 60) for source in sources),
            latency_p50_s=p50,
            latency_p99_s=p99,
            group=self._group,
            other_groups={
                source.name: group for source, worker in known if (group := worker.group) and group != self._group
            },
            quota=_quota([worker.status["quota"] for _, worker in known if worker.status["quota"]]),
            halts=tuple({halt["reason"]: halt for _, worker in known if (halt := worker.status["halted"])}.values()),
            unwell=tuple(f"{source.name}: {part}: {why}" for source, part, why in self._unwell()),
            unreachable=tuple(
                Unreachable(source.name, source.trouble, source.told_at) for source in self._sources() if source.trouble
            ),
        )

    def charts(self) -> dict[str, list[float | None]]:
        """Return the samples of the last hour by name; `at` holds their times in seconds since 1970."""
        charts: dict[str, list[float | None]] = {"at": [flow.at.timestamp() for flow in self._samples]}
        for name, figure in CHARTED.items():
            charts[name] = [figure(flow) for flow in self._samples]
        return charts

    def _before_the_workers(self) -> dict[str, Any]:
        outbox = self._outbox.answer if self._outbox else None
        topics = self._topics.answer
        producers = [(source, producer) for source in self._producers if (producer := source.answer) is not None]
        published = _sum(source.rate(lambda producer: producer.published) for source, _ in producers)
        return {
            "outbox_rows": outbox.rows if outbox else None,
            "outbox_oldest_s": outbox.oldest.total_seconds() if outbox and outbox.oldest else None,
            "parked": outbox.parked if outbox else None,
            "relay_active": any(producer.active for _, producer in producers) if producers else None,
            "published_per_s": published,
            "written_per_s": self._topics.rate(lambda topics: topics.written),
            "lag": sum(topics.lag.values()) if topics else None,
            "lag_by_topic": topics.lag if topics else {},
        }

    def _latency(self) -> tuple[float | None, float | None]:
        rises: dict[float, float] = {}
        for source in self.workers:
            for bound, rise in source.between(LATENCY_OF_S, lambda now, then: list(risen(now.ages, then.ages))) or ():
                rises[bound] = rises.get(bound, 0.0) + rise
        buckets = sorted(rises.items())
        return quantile(0.5, buckets), quantile(0.99, buckets)

    def _sources(self) -> Iterable[Source[Any]]:
        yield from (self._outbox,) if self._outbox else ()
        yield from self._producers
        yield self._topics
        yield from self.workers

    def _unwell(self) -> Iterable[tuple[Source[Any], str, str]]:
        for producer in self._producers:
            if (known := producer.answer) is not None:
                yield from ((producer, part, why) for part, why in known.health["unwell"].items())
        for worker in self.workers:
            if (told := worker.answer) is not None:
                # A halt is shown in a banner, so it is not repeated here.
                yield from ((worker, part, why) for part, why in told.status["unwell"].items() if part != "hubspot")


def _quota(told: Sequence[Mapping[str, Any]]) -> Quota | None:
    if not told:
        return None
    resets_at = next((quota["daily_resets_at"] for quota in told if quota.get("daily_resets_at")), None)
    return Quota(
        limit=max(quota["limit"] for quota in told),
        window_s=max(quota["window_s"] for quota in told),
        used=sum(quota["used"] for quota in told),
        daily_limit=max(quota["daily_limit"] for quota in told),
        # Each worker reports the account's remainder as of its last call: the lowest is the newest until a reset.
        daily_remaining=min(quota["daily_remaining"] for quota in told),
        daily_resets_at=datetime.fromisoformat(resets_at) if resets_at else None,
    )


def _sum(figures: Iterable[float | None]) -> float | None:
    """Return the sum of the known *figures*; None if none is known."""
    known = [figure for figure in figures if figure is not None]
    return sum(known) if known else None


def _added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    added: dict[str, int] = {}
    for count in counts:
        for name, number in count.items():
            added[name] = added.get(name, 0) + number
    return added
