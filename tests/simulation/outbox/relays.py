"""A relay as a simulated process: the production service, wired as `python -m producer relay` wires it."""

import asyncio
from typing import Any, Final

from producer.relay.service import Service
from producer.settings import Settings
from tests.simulation.loop import Process, SimulatedLoop
from tests.simulation.outbox.connection import DATABASE
from tests.simulation.outbox.database import Database


class RelayProcess:
    """One life of a relay, from its start until it is killed or has stopped."""

    def __init__(self, name: str, loop: SimulatedLoop, database: Database, settings: Settings) -> None:
        self.process: Final = Process(name)
        self.process.context.run(DATABASE.set, database)
        self._loop: Final = loop
        self._stop = asyncio.Event()
        self._settings: Final = settings
        self.service: Service | None = None
        self.run: Final[asyncio.Task[Any]] = loop.start(self.process, self._work())

    def stop(self) -> None:
        """Stop as on SIGTERM."""
        self._loop.call_soon(self._stop.set, context=self.process.context)

    async def _work(self) -> None:
        self.service = Service(self._settings)
        await self.service.run(self._stop)
