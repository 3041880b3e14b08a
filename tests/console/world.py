"""A world that the overview looks at: workers, a producer, Kafka and the outbox, each as the test says."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from console.overview.backlog import OutboxBacklog, TopicsBacklog
from console.overview.flow import Sources
from console.overview.overview import Overview
from console.overview.past.history_file import HistoryFile
from console.overview.services import Exposition, Report
from console.overview.source import ProcessSources, Source
from console.shared_settings import MODE, ours_of
from console.web.view import View
from hubspot_consumer.settings import Settings as ConsumerSettings
from runtime.program import program_version
from tests.clock import OwnedClock

HALT = {"reason": "token_refused", "detail": "401", "since": "2026-11-23T23:00:00+00:00", "next_probe": "…"}
# No folder can be made in a file.
NOWHERE = Path("/dev/null/console")


def worker(delivered: float, **changes: Any) -> Report:
    status: dict[str, Any] = {
        "version": program_version(),
        "mode": "live",
        "unwell": {},
        "halted": None,
        "quota": {
            "limit": 100,
            "window_s": 10,
            "used": 7,
            "daily_limit": 250_000,
            "daily_remaining": 200_000,
            "daily_resets_at": "2026-11-25T05:00:00+00:00",
        },
        "in_flight": {"events": 3, "calls": 1},
        "contacts": {"ready": 1, "held": 2},
    }
    samples: Mapping[str, Any] = {
        "hubspot_consumer_events_delivered_total": [({"type": "nova_earned"}, delivered)],
        "hubspot_consumer_calls_total": [({"kind": "upsert", "status": "200"}, delivered / 10)],
        "hubspot_consumer_event_age_seconds_bucket": [({"le": "1"}, delivered), ({"le": "+Inf"}, delivered)],
    }
    return Report({**status, **changes}, Exposition(samples))


def told(**changes: Any) -> dict[str, Any]:
    """Return the status of a worker, with *changes*."""
    return dict(worker(0, **changes).status)


def producer(published: float, **unwell: str) -> Report:
    samples: Mapping[str, Any] = {
        "producer_events_published_total": [({"type": "nova_earned"}, published)],
        "producer_relay_active": [({}, 1.0)],
    }
    return Report({"version": program_version(), "unwell": unwell}, Exposition(samples))


@dataclass
class World:
    """What the console looks at; a part that is None does not answer."""

    clock: OwnedClock = field(default_factory=OwnedClock)
    workers: list[Report | None] = field(default_factory=lambda: [worker(0), worker(0)])
    producer: Report | None = field(default_factory=lambda: producer(0))
    # The console's settings, which are the workers' too.
    ours: Mapping[str, str] = field(default_factory=lambda: {**ours_of(ConsumerSettings()), MODE: "live"})
    topics: TopicsBacklog | None = field(default_factory=lambda: TopicsBacklog({"lifecycle.nova_earned": 4}, 100))
    outbox: OutboxBacklog | None = field(default_factory=lambda: OutboxBacklog(2, timedelta(seconds=9), 5))

    def overview(self, folder: Path = NOWHERE) -> Overview:
        def asking(part: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
            async def ask(*address: str) -> Any:
                if (answer := part(*address)) is None:
                    raise TimeoutError
                return answer

            return ask

        workers = ProcessSources("worker", ["0", "1"], asking(lambda number: self.workers[int(number)]), self.clock)
        producers = ProcessSources("producer", ["0"], asking(lambda _: self.producer), self.clock)
        topics = Source("Kafka", asking(lambda: self.topics), self.clock)
        outbox = Source("outbox", asking(lambda: self.outbox), self.clock)
        self.sources: list[Source[Any]] = [*workers, *producers, topics, outbox]
        return Overview(
            Sources(
                producers=producers,
                workers=workers,
                topics=topics,
                outbox=outbox,
                group="ours",
                ours=self.ours,
                clock=self.clock,
            ),
            HistoryFile(folder),
        )

    async def look(self) -> None:
        for source in self.sources:
            await source.look()

    async def sampled(self, overview: Overview, after_s: float = 5) -> None:
        """Let some time pass, look at all sources, and take a sample."""
        self.clock.advance(after_s)
        await self.look()
        await overview.sample()


def page_of(overview: Overview) -> str:
    """Return the part of the page that is polled."""
    return View()._templates.env.get_template("overview_live.html").render(seen=overview.seen())
