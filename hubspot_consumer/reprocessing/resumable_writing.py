"""The writing of a replay, which can be killed and continued: the run's journal records how far it has come."""

import asyncio
from collections.abc import Callable, Sequence

from hubspot_consumer.ordering.lane import ContactUpdate
from hubspot_consumer.reprocessing.projections import TopicProjections
from hubspot_consumer.reprocessing.report import Report
from hubspot_consumer.reprocessing.run import Run
from hubspot_consumer.reprocessing.session import RunAccess
from runtime.clock import Clock
from schemas.contacts import ContactKey


async def write_all(  # noqa: PLR0913 - the run with its parts
    run: Run,
    projections: TopicProjections,
    access: RunAccess,
    report: Report,
    clock: Clock,
    *,
    progress: Callable[[int], object],
) -> None:
    """Write every contact and its timeline entries, batch by batch, and record the progress in the run's journal.

    *progress* is called with the number of finished contacts: written, rejected or skipped. Raises TooManyRefused. A
    cancellation waits for contact calls in flight; the run can continue later.
    """
    finished = run.store.fact("settled", 0)

    async def leave(updates: Sequence[ContactUpdate], over_s: float, up_to: ContactKey, finished: int) -> None:
        await access.entries.leave(updates, over_s)
        # The journal is written last: after a crash, contacts without their entries would be skipped otherwise.
        run.store.keep(written_up_to=up_to, settled=finished, report=report.model_dump(mode="json"))

    leaving: asyncio.Task[None] | None = None
    try:
        for keys, up_to in projections.batches(ContactKey(run.store.fact("written_up_to", ""))):
            began = clock.monotonic()
            updates = await access.writing.write(keys)
            took_s = clock.monotonic() - began
            # The entries of these contacts are sent while the next contacts are written.
            if leaving is not None:
                await leaving
            finished += len(keys)
            leaving = asyncio.create_task(leave(updates, took_s, up_to, finished))
            progress(finished)
        if leaving is not None:
            await leaving
    finally:
        if leaving is not None:
            leaving.cancel()
