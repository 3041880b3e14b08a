"""Reprocessing in a simulation: the production code of a replay and of a resync, as processes that may be killed."""

import asyncio
import tempfile
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aiokafka.errors import KafkaError

from hubspot_consumer.gates.pause import SendingPaused
from hubspot_consumer.history.projection import Selection
from hubspot_consumer.holds.hold import TakenOver
from hubspot_consumer.holds.run import AnotherRun
from hubspot_consumer.reprocessing.resumable_writing import write_all
from hubspot_consumer.reprocessing.resync import resync_contacts
from hubspot_consumer.reprocessing.run import Run
from hubspot_consumer.reprocessing.session import RunSession
from runtime.commands import cause
from runtime.kafka.admission import KafkaAway
from runtime.kafka.new_topics import TopicsNotReady
from schemas.contacts import ContactKey
from tests.simulation.loop import Process
from tests.simulation.patching import START

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

# What ends a run with a message, so that a person begins it again.
_ENDINGS: Final = (KafkaError, KafkaAway, TopicsNotReady, SendingPaused, AnotherRun, TakenOver)
AGAIN_AFTER_S: Final = 5.0
QUOTA_SHARE: Final = 0.3
Disturbance = Callable[[Process], Coroutine[Any, Any, None]]


class Runs:
    """Begins runs, and continues a replay until it is finished."""

    def __init__(self, simulation: "Simulation") -> None:
        self._simulation: Final = simulation
        self._folder: Final = tempfile.TemporaryDirectory(prefix="simulation-")
        self._replays = 0
        self._open: Final[dict[str, Run]] = {}
        self.under_way = 0

    async def resync(
        self, keys: Sequence[str], *, killed_after_s: float | None = None, disturb: Disturbance | None = None
    ) -> None:
        """Write some contacts again from the topics, by a process that is disturbed meanwhile."""
        work = resync_contacts(self._simulation.settings, list(map(ContactKey, keys)))
        await self._ends("resync", work, killed_after_s, disturb)

    async def replay(self, *, killed_after_s: Iterable[float] = ()) -> None:
        """Let all events take effect again. A replay that is killed is continued by another process, and killed again
        after the next of so many seconds.
        """
        kills = iter(killed_after_s)
        self._replays += 1
        name = f"replay-{self._replays}"
        self.under_way += 1
        while not await self._ends(name, self._replay(name), next(kills, None)):  # noqa: ASYNC110 - a person begins it again
            await asyncio.sleep(AGAIN_AFTER_S)
        self.under_way -= 1

    async def _ends(
        self, name: str, work: Any, killed_after_s: float | None, disturb: Disturbance | None = None
    ) -> bool:
        """Return whether a process came to its end with *work*."""
        process = Process(name)
        process.clock_ahead_s = self._simulation.chance.choice((0.0, 0.5, -0.5, 3_600.0, -3_600.0))
        task = self._simulation.loop.start(process, work)
        if disturb is not None:
            self._simulation.loop.start(self._simulation.loop.world, disturb(process))
        self.under_way += 1
        try:
            await asyncio.wait([task], timeout=killed_after_s)
            if not task.done():
                self._release(process.name)
                self._simulation.result.counts["run_killed"] += 1
                return False
            if (error := task.exception()) is not None:
                if not isinstance(cause(error), _ENDINGS):
                    self._simulation.violate(f"a run ended: {error!r}")
                return False
        finally:
            self._simulation.loop.kill(process)
            self.under_way -= 1
        return True

    async def _replay(self, name: str) -> None:
        run = Run.open(Path(self._folder.name), name, {}, START, fresh=False)
        self._open[name] = run
        try:
            async with AsyncExitStack() as opened:
                settings = self._simulation.settings
                await _write(RunSession(settings, run, "replay", QUOTA_SHARE, timeline=True, opened=opened))
        finally:
            self._release(name)

    def _release(self, name: str) -> None:
        """Close the files of a replay, as the kernel does at the end of its process."""
        if (run := self._open.pop(name, None)) is not None:
            run.close(keep=True)


async def _write(session: RunSession) -> None:
    await session.keep_off_while_paused()
    projections = await session.projections(Selection(), lambda _done, _total: None)
    async with session.access(projections) as access:
        await write_all(session.run, projections, access, session.report, session.clock, progress=lambda _: None)
