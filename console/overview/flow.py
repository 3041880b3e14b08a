"""The overview: how events flow now, step by step. A figure without a fresh source is None."""

from collections import deque
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NoReturn

from console.overview.backlog import OutboxBacklog, TopicsBacklog
from console.overview.services import Buckets, Report, added, quantile, risen
from console.overview.source import ProcessSources, Source
from console.shared_settings import Comparison, compare
from runtime.clock import Clock
from runtime.program import UNTOLD, program_version
from schemas.times import read_time

SAMPLE_EVERY_S: Final = 5.0
SAMPLES: Final = 720
# The window of the quantiles, and of the figures per minute.
MINUTE_S: Final = 60.0


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
    contacts: Mapping[str, float] = field(default_factory=dict)
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
    # The sources without a usable answer.
    unreachable: tuple[Source[Any], ...] = ()
    # `group` is the consumer group whose lag is shown; `other_groups` has the groups of workers that use another one.
    group: str = ""
    other_groups: Mapping[str, str] = field(default_factory=dict)
    # The workers that share not all settings with the console.
    differing: tuple[Comparison, ...] = ()
    # The versions that the console, the producers and the consumers run, if these are not one version.
    versions: Mapping[str, Collection[str]] = field(default_factory=dict)

    @property
    def some_workers_unknown(self) -> bool:
        """Whether the workers' sums cover only some of them."""
        return 0 < self.workers_known < self.workers


# The figures that the charts draw, by name; `at` is their time in seconds since 1970.
CHARTED: Final[Mapping[str, Callable[[Flow], float | None]]] = {
    "at": lambda flow: flow.at.timestamp(),
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


@dataclass(frozen=True, kw_only=True)
class Overview:
    """Combines all sources into one flow, and keeps the samples of the last hour for the charts."""

    producers: ProcessSources[Report]
    workers: ProcessSources[Report]
    topics: Source[TopicsBacklog]
    outbox: Source[OutboxBacklog] | None
    group: str
    # The console's values of the settings that the workers have to share, by name.
    ours: Mapping[str, str]
    clock: Clock
    samples: deque[Flow] = field(default_factory=lambda: deque(maxlen=SAMPLES))

    def works(self) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        """Return the coroutine functions that have to run while the console is served."""
        watched = (self.producers, self.topics, self.workers, *((self.outbox,) if self.outbox else ()))
        return [self._sample, *(each.watch for each in watched)]

    async def _sample(self) -> NoReturn:
        while True:
            await self.clock.sleep(SAMPLE_EVERY_S)
            self.samples.append(self.now())

    def now(self) -> Flow:
        """Return the current flow."""
        known = [(source, worker) for source in self.workers if (worker := source.answer) is not None]
        sources, statuses = [source for source, _ in known], [worker.status for _, worker in known]
        delivered = _rate(sources, "hubspot_consumer_events_delivered_total")
        calls = _rate(sources, "hubspot_consumer_calls_total")
        p50, p99 = self._latency()
        return Flow(
            at=self.clock.now(),
            **self._before_the_workers(),
            workers=len([*self.workers]),
            workers_known=len(known),
            modes=frozenset(str(status["mode"]) for status in statuses),
            unfinished=_sum(float(status["in_flight"]["events"]) for status in statuses),
            contacts=added(count for status in statuses for count in status["contacts"].items()),
            delivered_per_s=delivered,
            calls_per_s=calls,
            events_per_call=delivered / calls if delivered is not None and calls else None,
            rate_limited_per_min=_rise_in_a_minute(sources, "hubspot_consumer_calls_total", status="429"),
            dead_letters_per_min=_rise_in_a_minute(sources, "hubspot_consumer_dead_letters_total"),
            latency_p50_s=p50,
            latency_p99_s=p99,
            group=self.group,
            other_groups={
                source.name: group for source, worker in known if (group := worker.group) and group != self.group
            },
            differing=tuple(
                found for source, worker in known if (found := compare(source.name, self.ours, worker.status)).differs
            ),
            quota=_quota([status["quota"] for status in statuses if status["quota"]]),
            halts=tuple({halt["reason"]: halt for status in statuses if (halt := status["halted"])}.values()),
            unwell=tuple(self._unwell()),
            unreachable=tuple(source for source in self._sources() if source.trouble),
            versions=self._versions(),
        )

    def charts(self) -> dict[str, list[float | None]]:
        """Return the samples of the last hour by name."""
        return {name: [figure(flow) for flow in self.samples] for name, figure in CHARTED.items()}

    def _before_the_workers(self) -> dict[str, Any]:
        outbox = self.outbox.answer if self.outbox else None
        topics = self.topics.answer
        producers = [producer for source in self.producers if (producer := source.answer) is not None]
        relays = [producer.metrics.total("producer_relay_active") == 1 for producer in producers]
        return {
            "outbox_rows": outbox.rows if outbox else None,
            "outbox_oldest_s": outbox.oldest.total_seconds() if outbox and outbox.oldest else None,
            "parked": outbox.parked if outbox else None,
            "relay_active": any(relays) if relays else None,
            "published_per_s": _rate(self.producers, "producer_events_published_total"),
            "written_per_s": self.topics.rate(lambda topics: topics.written),
            "lag": sum(topics.lag.values()) if topics else None,
            "lag_by_topic": topics.lag if topics else {},
        }

    def _latency(self) -> tuple[float | None, float | None]:
        """Return the median and the 99th percentile of the time from commit to HubSpot's answer."""
        rises = added(rise for source in self.workers for rise in source.between(MINUTE_S, _risen_event_ages) or ())
        buckets = sorted(rises.items())
        return quantile(0.5, buckets), quantile(0.99, buckets)

    def _versions(self) -> dict[str, list[str]]:
        """Return the versions by who runs them, if they differ."""
        asked = {"producers": self.producers, "consumers": self.workers}
        found = {
            kind: sorted({report.status.get("version") or UNTOLD for source in sources if (report := source.answer)})
            for kind, sources in asked.items()
        }
        found |= {"this console": [program_version()]}
        return found if len({version for versions in found.values() for version in versions}) > 1 else {}

    def _sources(self) -> Iterable[Source[Any]]:
        yield from (self.outbox,) if self.outbox else ()
        yield from self.producers
        yield self.topics
        yield from self.workers

    def _unwell(self) -> Iterable[str]:
        for source in (*self.producers, *self.workers):
            if (report := source.answer) is not None:
                unwell = report.status["unwell"].items()
                # A worker's halt is shown in a banner, so it is not repeated here.
                yield from (f"{source.name}: {part}: {why}" for part, why in unwell if part != "hubspot")


def _rate(sources: Iterable[Source[Report]], metric: str) -> float | None:
    return _sum(source.rate(lambda report: report.metrics.total(metric)) for source in sources)


def _rise_in_a_minute(sources: Iterable[Source[Report]], metric: str, **labels: str) -> float | None:
    return _sum(source.increase(lambda report: report.metrics.total(metric, **labels), MINUTE_S) for source in sources)


def _risen_event_ages(now: Report, then: Report) -> Buckets:
    name = "hubspot_consumer_event_age_seconds"
    return risen(now.metrics.buckets(name), then.metrics.buckets(name))


def _quota(quotas: Sequence[Mapping[str, Any]]) -> Quota | None:
    if not quotas:
        return None
    resets_at = next((quota["daily_resets_at"] for quota in quotas if quota.get("daily_resets_at")), None)
    return Quota(
        limit=max(quota["limit"] for quota in quotas),
        window_s=max(quota["window_s"] for quota in quotas),
        used=sum(quota["used"] for quota in quotas),
        daily_limit=max(quota["daily_limit"] for quota in quotas),
        # Each worker reports the account's remainder as of its last call: the lowest is the newest until a reset.
        daily_remaining=min(quota["daily_remaining"] for quota in quotas),
        daily_resets_at=read_time(resets_at) if resets_at else None,
    )


def _sum(figures: Iterable[float | None]) -> float | None:
    """Return the sum of the known *figures*; None if none is known."""
    known = [figure for figure in figures if figure is not None]
    return sum(known) if known else None
