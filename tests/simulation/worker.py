"""A worker as a simulated process: the production service, wired as `python -m hubspot_consumer worker` wires it."""

import asyncio
from functools import partial
from typing import Any, Final

from hubspot_consumer.metrics import Telemetry
from hubspot_consumer.reprocessing.resync import resync_contacts
from hubspot_consumer.settings import Settings
from hubspot_consumer.worker.service import Service
from tests.simulation.loop import Process, SimulatedLoop


class Worker:
    """One life of a worker, from its start until it is killed or has stopped."""

    def __init__(self, name: str, loop: SimulatedLoop, settings: Settings) -> None:
        self.process: Final = Process(name)
        self._loop: Final = loop
        self._stop = asyncio.Event()
        self._settings: Final = settings
        self.service: Service | None = None
        self.run: Final[asyncio.Task[Any]] = loop.start(self.process, self._work())

    def stop(self) -> None:
        """Stop as on SIGTERM."""
        self._loop.call_soon(self._stop.set, context=self.process.context)

    async def _work(self) -> None:
        self.service = Service(self._settings, Telemetry(), partial(resync_contacts, self._settings))
        await self.service.run(self._stop)
