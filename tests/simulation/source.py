"""The source: the backend, its database, and the relays that publish the outbox."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from sandbox.day.ledger import Committed
from tests.simulation.faults import Fault
from tests.simulation.loop import Process
from tests.simulation.outbox.backend import Backend
from tests.simulation.outbox.connection import PATCHES
from tests.simulation.outbox.database import Database
from tests.simulation.outbox.relays import RelayProcess
from tests.simulation.patching import START, Patch

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

RELAYS: Final = 2
EVENTS_WITHIN_S: Final = 15.0


class Source:
    """The backend tracks events, and two relays publish them."""

    patches: Final[Sequence[Patch]] = PATCHES

    def __init__(self, simulation: "Simulation") -> None:
        self._simulation: Final = simulation
        loop, chance = simulation.loop, simulation.chance
        self.database: Final = Database(loop, simulation.network, chance, START)
        self._relays: Final[list[RelayProcess]] = []
        self._backend: Backend | None = None

    def start(self) -> None:
        """Start the relays and the backend."""
        simulation = self._simulation
        for _ in range(RELAYS):
            self._start_relay()
        self._backend = Backend(
            simulation.loop,
            self.database,
            simulation.chance,
            events=simulation.plan.events,
            within_s=EVENTS_WITHIN_S,
            email_changes=simulation.plan.email_changes,
        )

    async def ended(self) -> None:
        """Return when the backend has tracked all events."""
        if self._backend is not None:
            await asyncio.wait([self._backend.run])
            self._backend.run.result()

    def committed(self) -> list[Committed]:
        """Return the events that were committed so far."""
        return self.database.committed

    @property
    def next_keys(self) -> Mapping[str, str]:
        """The keys of contacts that move to another email, and their next keys."""
        return self._backend.next_keys if self._backend is not None else {}

    @property
    def published(self) -> bool:
        """Whether the outbox is empty."""
        return not self.database.tables.events

    def relay(self, target: int) -> Process | None:
        """Return the process of one of the running relays, None if none runs."""
        running = [relay for relay in self._relays if not relay.process.dead]
        return running[target % len(running)].process if running else None

    async def kill_relay(self, fault: Fault, process: Process | None = None) -> bool:
        """Kill a relay, and start it again later."""
        process = process or self.relay(fault.target)
        if process is None:
            return False
        self._simulation.loop.kill(process)
        await asyncio.sleep(min(fault.for_s, 8.0))
        self._start_relay()
        return True

    async def fail_over(self, fault: Fault) -> bool:
        """Let the database restart: its connections end, and it refuses new ones for a while."""
        self.database.restart()
        self._simulation.network.down.add("database")
        await asyncio.sleep(min(fault.for_s, 15.0))
        self._simulation.network.down.discard("database")
        return True

    def faults(self) -> list[BaseException]:
        """Return the exceptions that ended relays."""
        ended = [relay.run for relay in self._relays if relay.run.done() and not relay.process.dead]
        return [error for run in ended if (error := run.exception()) is not None]

    def _start_relay(self) -> None:
        simulation = self._simulation
        name = f"relay-{len(self._relays) + 1}"
        self._relays.append(RelayProcess(name, simulation.loop, self.database, simulation.plan.variant.producer))
