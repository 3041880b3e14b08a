"""The overview: all that its page shows, from what the sources say now and from the history of the last day."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, NoReturn

from console.overview.flow import Flow, Sources
from console.overview.outlook import Outlook, outlook
from console.overview.past.history import MINUTE_S, SAMPLE_EVERY_S, History, columns, sample_of
from console.overview.past.history_file import HistoryFile, Kept
from console.overview.past.marks import Mark, Marks, with_runs
from console.overview.picture import Step, Verdict, steps, verdict
from console.overview.problem import Problem
from console.overview.problems import problems
from console.runs.run import StartedRun

HOURS: Final = (1, 6, 24)


@dataclass(frozen=True)
class Seen:
    """What the page shows of a moment."""

    flow: Flow
    outlook: Outlook
    problems: Sequence[Problem]
    verdict: Verdict
    steps: Sequence[Step]


def no_runs() -> Iterable[StartedRun]:
    return ()


@dataclass(frozen=True)
class Overview:
    """The sources, and what was seen of them. `runs` returns the runs that the console has started."""

    sources: Sources
    file: HistoryFile
    runs: Callable[[], Iterable[StartedRun]] = no_runs
    history: History = field(default_factory=History)
    marks: Marks = field(default_factory=Marks)

    def works(self) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        """Return the coroutine functions that have to run while the console is served."""
        sources = self.sources
        watched = (sources.producers, sources.topics, sources.workers, *((sources.outbox,) if sources.outbox else ()))
        return [self.record, *(each.watch for each in watched)]

    async def record(self) -> NoReturn:
        """Take what an earlier console has kept, then a sample every SAMPLE_EVERY_S."""
        await self.restore()
        while True:
            await self.sources.clock.sleep(SAMPLE_EVERY_S)
            await self.sample()

    async def restore(self) -> None:
        kept = await asyncio.to_thread(self.file.load)
        now = self.sources.clock.now().timestamp()
        if not self.history.fine:
            self.history.restore(kept.of(SAMPLE_EVERY_S), kept.of(MINUTE_S), now)
            self.marks.restore(kept.marks, kept.versions, now)

    async def sample(self) -> None:
        """Add the present flow to the history and the marks, and keep both in the file.

        A sample whose time is not believed yet changes neither.
        """
        seen = self.seen()
        if not (samples := self.history.add(sample_of(seen.flow))):
            return
        marks = self.marks.see(seen.flow, seen.problems) if seen.flow.is_complete else []
        new = Kept(samples, marks, dict(self.marks.versions))
        everything = Kept([*self.history.minutes, *self.history.fine], [*self.marks], new.versions)
        await asyncio.to_thread(self.file.save, new, everything, seen.flow.at.timestamp())

    def now(self) -> Flow:
        """Return the current flow."""
        return self.sources.now()

    def seen(self) -> Seen:
        """Return what the page shows now."""
        flow = self.now()
        coming = outlook(flow, self.history.recent(flow.at.timestamp()))
        found = [
            problem if problem.since else replace(problem, since=self.marks.began(problem.key))
            for problem in problems(flow, coming)
        ]
        return Seen(flow, coming, found, verdict(flow, found), steps(flow, found))

    async def happened(self, hours: int) -> list[Mark]:
        """Return what happened in the last *hours*, the newest first."""
        # Runs are read from their folders.
        runs = await asyncio.to_thread(self.runs)
        now = self._now()
        return [mark for mark in with_runs(self.marks, runs, now) if mark.until >= now - hours * 3_600]

    async def charts(self, hours: int, after: float = 0.0) -> Mapping[str, Any]:
        """Return the samples of the last *hours*, from *after* on, by name, with the marks of that time."""
        earliest = self._now() - hours * 3_600
        marks = [
            {"kind": mark.kind, "words": mark.words, "began": mark.began, "until": mark.until}
            for mark in await self.happened(hours)
        ]
        return {**columns(self.history.since(earliest, after)), "from": earliest, "until": self._now(), "marks": marks}

    def _now(self) -> float:
        at: datetime = self.sources.clock.now()
        return at.timestamp()
