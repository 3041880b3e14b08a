"""The flow: how events flow at a moment, step by step. A figure without a fresh source is None."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from console.overview.backlog import COUNTED, OutboxBacklog, TopicsBacklog
from console.overview.latency import quantiles_of
from console.overview.quota import Quota, quota_of
from console.overview.services import Report, added
from console.overview.source import MINUTE_S, NOT_ASKED, ProcessSources, Source
from console.overview.workers import WorkerFigures, one_by_one
from console.shared_settings import Comparison, compare
from runtime.clock import Clock
from runtime.program import UNTOLD, program_version

NONE: Mapping[str, Any] = {}
THIS_CONSOLE: Final = "this console"
# The sources of which there is one.
_SINGLE: Final = ("outbox", "Kafka")


@dataclass(frozen=True)
class Unwell:
    """A part of a service that is unwell, and why, as the service itself says."""

    source: str
    part: str
    why: str


@dataclass(frozen=True)
class Flow:
    """The figures of a moment. Rates are per second unless named otherwise, spans are in seconds; None is unknown."""

    at: datetime
    outbox_rows: float | None = None
    outbox_oldest_s: float | None = None
    parked: float | None = None
    relay_active: bool | None = None
    producers: int = 0
    published_per_s: float | None = None
    written_per_s: float | None = None
    lag: float | None = None
    lag_by_topic: Mapping[str, int] = field(default_factory=dict)
    read_per_s: float | None = None
    workers: int = 0
    workers_known: int = 0
    one_by_one: tuple[WorkerFigures, ...] = ()
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
    # The runs that workers make room for, each with its command.
    runs: Mapping[str, str] = field(default_factory=dict)
    unwell: tuple[Unwell, ...] = ()
    # The sources without a usable answer.
    unreachable: tuple[Source[Any], ...] = ()
    # `group` is the consumer group whose lag is shown; `other_groups` has the groups of workers that use another one.
    group: str = ""
    other_groups: Mapping[str, str] = field(default_factory=dict)
    # The workers that share not all settings with the console.
    differing: tuple[Comparison, ...] = ()
    # The versions that the console, the producers and the consumers run.
    running: Mapping[str, Collection[str]] = field(default_factory=dict)

    @property
    def some_workers_unknown(self) -> bool:
        """Whether the workers' sums cover only some of them."""
        return 0 < self.workers_known < self.workers

    @property
    def versions(self) -> Mapping[str, Collection[str]]:
        """The versions by who runs them, if these are not one version."""
        return self.running if len({one for versions in self.running.values() for one in versions}) > 1 else NONE

    @property
    def is_complete(self) -> bool:
        """Whether the sources were asked at least once: a console that has just started knows nothing yet."""
        unasked = [source.name for source in self.unreachable if source.trouble == NOT_ASKED]
        # A worker that has just come is no reason to doubt what the others say.
        return not any(name.startswith(_SINGLE if self.workers_known else "") for name in unasked)

    @property
    def sends(self) -> bool:
        """Whether a worker may send: one is live, and not halted."""
        return any(worker.is_live and worker.halt is None for worker in self.one_by_one)

    @property
    def outbox_is_large(self) -> bool:
        """Whether the outbox has more rows than are counted, or just as many: how many is then not known."""
        return (self.outbox_rows or 0) >= COUNTED

    @property
    def waiting(self) -> float | None:
        """The events that are known to wait in the outbox and in Kafka; None if Kafka does not tell."""
        return None if self.lag is None else self.lag + (self.outbox_rows or 0)


@dataclass(frozen=True, kw_only=True)
class Sources:
    """All that the console polls for the overview, and the flow that follows from the last answers."""

    producers: ProcessSources[Report]
    workers: ProcessSources[Report]
    topics: Source[TopicsBacklog]
    outbox: Source[OutboxBacklog] | None
    group: str
    # The console's values of the settings that the workers have to share, by name.
    ours: Mapping[str, str]
    clock: Clock

    def now(self) -> Flow:
        """Return the current flow."""
        known = [(source, worker) for source in self.workers if (worker := source.answer) is not None]
        sources, statuses = [source for source, _ in known], [worker.status for _, worker in known]
        delivered = _rate(sources, "hubspot_consumer_events_delivered_total")
        calls = _rate(sources, "hubspot_consumer_calls_total")
        p50, p99 = quantiles_of(self.workers)
        return Flow(
            at=self.clock.now(),
            **self._before_the_workers(),
            read_per_s=_rate(sources, "hubspot_consumer_events_read_total"),
            workers=len([*self.workers]),
            workers_known=len(known),
            one_by_one=one_by_one(self.workers),
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
            quota=quota_of([status["quota"] for status in statuses if status["quota"]]),
            halts=tuple({halt["reason"]: halt for status in statuses if (halt := status["halted"])}.values()),
            runs={run["run"]: run["command"] for status in statuses if (run := status.get("reprocessing"))},
            unwell=tuple(self._unwell()),
            unreachable=tuple(source for source in self._each() if source.trouble),
            running=self._running(),
        )

    def _before_the_workers(self) -> dict[str, Any]:
        outbox = self.outbox.answer if self.outbox else None
        topics = self.topics.answer
        producers = [producer for source in self.producers if (producer := source.answer) is not None]
        relays = [producer.metrics.total("producer_relay_active") == 1 for producer in producers]
        return {
            "outbox_rows": outbox.rows if outbox else None,
            "outbox_oldest_s": outbox.oldest.total_seconds() if outbox and outbox.oldest else None,
            "parked": outbox.parked if outbox else None,
            "producers": len([*self.producers]),
            "relay_active": any(relays) if relays else None,
            "published_per_s": _rate(self.producers, "producer_events_published_total"),
            "written_per_s": self.topics.rate(lambda topics: topics.written),
            "lag": sum(topics.lag.values()) if topics else None,
            "lag_by_topic": topics.lag if topics else {},
        }

    def _running(self) -> dict[str, list[str]]:
        """Return the versions by who runs them."""
        asked = {"producers": self.producers, "consumers": self.workers}
        found = {
            kind: sorted({report.status.get("version") or UNTOLD for source in sources if (report := source.answer)})
            for kind, sources in asked.items()
        }
        return {**found, THIS_CONSOLE: [program_version()]}

    def _each(self) -> Iterable[Source[Any]]:
        yield from (self.outbox,) if self.outbox else ()
        yield from self.producers
        yield self.topics
        yield from self.workers

    def _unwell(self) -> Iterable[Unwell]:
        for source in (*self.producers, *self.workers):
            if (report := source.answer) is not None:
                yield from (Unwell(source.name, part, why) for part, why in report.unwell.items())


def running_words(kind: str, versions: Iterable[str]) -> str:
    """Return in words which versions those of this kind run."""
    return f"{kind} {'runs' if kind == THIS_CONSOLE else 'run'} {' and '.join(versions)}"


def _rate(sources: Iterable[Source[Report]], metric: str) -> float | None:
    return _sum(source.rate(lambda report: report.metrics.total(metric)) for source in sources)


def _rise_in_a_minute(sources: Iterable[Source[Report]], metric: str, **labels: str) -> float | None:
    return _sum(source.increase(lambda report: report.metrics.total(metric, **labels), MINUTE_S) for source in sources)


def _sum(figures: Iterable[float | None]) -> float | None:
    """Return the sum of the known *figures*; None if none is known."""
    known = [figure for figure in figures if figure is not None]
    return sum(known) if known else None
