"""The source: the backend, its database, and the relays that publish the outbox."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from aiokafka import TopicPartition

from sandbox.day.ledger import Committed
from schemas.envelope import Headers
from tests.simulation.faults import Fault
from tests.simulation.loop import Process
from tests.simulation.outbox.backend import Backend
from tests.simulation.outbox.connection import PATCHES
from tests.simulation.outbox.database import Database
from tests.simulation.outbox.relays import RelayProcess
from tests.simulation.outbox.tables import Tables
from tests.simulation.patching import START, Patch

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

RELAYS: Final = 2
EVENTS_WITHIN_S: Final = 20.0


class Source:
    """The backend tracks events, and two relays publish them."""

    patches: Final[Sequence[Patch]] = PATCHES

    def __init__(self, simulation: "Simulation") -> None:
        self._simulation: Final = simulation
        loop, chance = simulation.loop, simulation.chance
        self.database: Final = Database(loop, simulation.network, chance, START)
        self._relays: Final[list[RelayProcess]] = []
        self._backend: Backend | None = None
        # The offsets since the oldest backup that is being restored: retention is longer than a backup is old.
        self.needed_since: dict[TopicPartition, int] = {}
        self._restores = 0
        # The relays whose hosts are gone for good.
        self.lost: Final[set[Process]] = set()
        self._published_before_a_restore: Final[list[Committed]] = []

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
        """Return the events committed so far, without those that a restore lost before they were published."""
        return self._published_before_a_restore + self.database.committed

    @property
    def next_keys(self) -> Mapping[str, str]:
        """The keys of contacts that have moved to another email, and their next keys."""
        moves = self._backend.moves if self._backend is not None else {}
        return dict(moves[event.id] for event in self.committed() if event.id in moves)

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
        network = self._simulation.network
        if "database" in network.down:
            return False
        self.database.restart()
        network.down.add("database")
        await asyncio.sleep(min(fault.for_s, 15.0))
        network.down.discard("database")
        return True

    async def restore(self, fault: Fault) -> bool:
        """Restore the database from a backup some seconds old, as the runbook says: `recover` before the relays."""
        backup = self.database.backup()
        logs = self._simulation.cluster.broker.logs
        if not self._restores:
            self.needed_since = {one: log.end for one, log in logs.items()}
        self._restores += 1
        try:
            return await self._restore(backup, fault)
        finally:
            self._restores -= 1

    async def _restore(self, backup: tuple[Tables, int], fault: Fault) -> bool:
        network, database = self._simulation.network, self.database
        await asyncio.sleep(min(fault.for_s, 4.0))
        if "database" in network.down:
            return False
        network.down.add("database")
        relays = [relay.process for relay in self._relays if not relay.process.dead]
        for process in relays:
            self._simulation.loop.kill(process)
        undone = len(database.undone)
        database.restore(backup)
        await asyncio.sleep(5.0)
        waiting = {process for process, _ in network.cut if process.name.startswith("relay-")} - self.lost
        while any((process, "kafka") in network.cut for process in waiting) or "kafka" in network.down:  # noqa: ASYNC110 - polls
            await asyncio.sleep(1.0)
        # What a killed relay had under way arrives now.
        await asyncio.sleep(2.0)
        events = self._simulation.cluster.broker.events(self._simulation.settings.topics)
        records = [record for log in events.values() for record in log]
        published = {Headers.decode(record.headers).id for record in records}
        self._published_before_a_restore.extend(one for one in database.undone[undone:] if one.id in published)
        database.recover(records)
        network.down.discard("database")
        for _ in relays:
            self._start_relay()
        return True

    def faults(self) -> list[BaseException]:
        """Return the exceptions that ended relays."""
        ended = [relay.run for relay in self._relays if relay.run.done() and not relay.process.dead]
        return [error for run in ended if (error := run.exception()) is not None]

    def _start_relay(self) -> None:
        simulation = self._simulation
        name = f"relay-{len(self._relays) + 1}"
        self._relays.append(RelayProcess(name, simulation.loop, self.database, simulation.plan.variant.producer))
