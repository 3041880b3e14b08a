"""A replay: the selected events take effect again, each contact in one write, while the workers run."""

import asyncio
from collections.abc import Callable, Sequence

from hubspot_consumer.ordering.lane import ContactUpdate
from hubspot_consumer.reprocessing.projections import TopicProjections
from hubspot_consumer.reprocessing.report import Report
from hubspot_consumer.reprocessing.run import Run
from hubspot_consumer.reprocessing.session import RunAccess
from runtime.clock import Clock
from schemas.contacts import ContactKey

Told = Callable[[int], object]
"""Called with the number of finished contacts: written, rejected or skipped."""


class Replay:
    """Writes the projections batch by batch, and records its progress in the run's journal."""

    def __init__(self, run: Run, topics: TopicProjections, access: RunAccess, report: Report, clock: Clock) -> None:
        self._run = run
        self._topics = topics
        self._writing = access.writing
        self._entries = access.entries
        self._report = report
        self._clock = clock

    async def write(self, told: Told) -> None:
        """Return when every contact is written or rejected, and its timeline entries are sent.

        Raises TooManyRefused. A cancellation waits for contact calls in flight; the run can continue later.
        """
        async with self._topics.followed():
            await self._write(told)

    async def _write(self, told: Told) -> None:
        after = ContactKey(self._run.store.fact("written_up_to", ""))
        settled = self._run.store.fact("settled", 0)
        leaving: asyncio.Task[None] | None = None
        try:
            for keys, following in self._topics.batches(after):
                began = self._clock.monotonic()
                updates = await self._writing.write(keys)
                took_s = self._clock.monotonic() - began
                # The entries of these contacts are sent while the next contacts are written.
                await _ended(leaving)
                settled += len(keys)
                leaving = asyncio.create_task(self._leave(updates, took_s, following, settled))
                told(settled)
            await _ended(leaving)
        finally:
            if leaving is not None:
                leaving.cancel()

    async def _leave(self, updates: Sequence[ContactUpdate], over_s: float, up_to: ContactKey, settled: int) -> None:
        if self._entries is not None:
            await self._entries.leave(updates, over_s)
        # The journal is written last: after a crash, contacts without their entries would be skipped otherwise.
        self._report.keep_in(self._run.store, written_up_to=up_to, settled=settled)


async def _ended(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        await task
