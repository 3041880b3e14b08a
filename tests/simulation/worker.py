"""A worker as a simulated process: the production service, wired as `python -m hubspot_consumer worker` wires it."""

import asyncio
from functools import partial
from typing import Any, Final

from hubspot_consumer.metrics import Telemetry
from hubspot_consumer.reprocessing.resync import resync_contacts
from hubspot_consumer.settings import Settings
from hubspot_consumer.worker.service import Service
from hubspot_consumer.worker.wiring import Parts
from tests.simulation.loop import Process, SimulatedLoop


class Worker:
    """One life of a worker, from its start until it is killed or has stopped."""

    def __init__(self, name: str, loop: SimulatedLoop, settings: Settings) -> None:
        self.process: Final = Process(name)
        self._loop: Final = loop
        self._settings: Final = settings
        self._stop = asyncio.Event()
        self._service: Service | None = None
        self.stopping = False
        self.run: Final[asyncio.Task[Any]] = loop.start(self.process, self._work())
        # What a stop leaves open ends with the process: a member that it could not take out of the group falls silent.
        self.run.add_done_callback(lambda _: loop.kill(self.process), context=loop.world.context)

    @property
    def runs(self) -> bool:
        """Whether it was neither killed nor told to stop."""
        return not (self.process.dead or self.stopping)

    @property
    def parts(self) -> Parts | None:
        """The parts of the service; None before its start."""
        return self._service._parts if self._service is not None else None

    @property
    def fault(self) -> BaseException | None:
        """The exception that ended the worker, None if there was none, or if it was killed."""
        return self.run.exception() if self.run.done() else None

    def stop(self) -> None:
        """Stop as on SIGTERM."""
        self.stopping = True
        self._loop.call_soon(self._stop.set, context=self.process.context)

    async def _work(self) -> None:
        self._service = Service(self._settings, Telemetry(), partial(resync_contacts, self._settings))
        await self._service.run(self._stop)
