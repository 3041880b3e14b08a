"""What happens to workers and relays."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from tests.simulation.faults import Fault
from tests.simulation.loop import Process, SimulatedLoop
from tests.simulation.network import Server
from tests.simulation.worker import Worker

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation


async def suspend(loop: SimulatedLoop, process: Process, for_s: float) -> None:
    """Let a process do nothing for so many seconds, as between SIGSTOP and SIGCONT."""
    process.paused = True
    await asyncio.sleep(for_s)
    loop.resume(process)


class Processes:
    """Workers and relays are killed, suspended and cut off, and come back."""

    def __init__(self, simulation: "Simulation") -> None:
        self._simulation: Final = simulation
        self._loop: Final = simulation.loop
        self._network: Final = simulation.network

    async def worker_killed(self, fault: Fault) -> bool:
        if (worker := self._worker(fault)) is None:
            return False
        self._loop.kill(worker.process)
        await asyncio.sleep(min(fault.for_s, 8.0))
        self._simulation.start_worker()
        return True

    async def worker_stopped(self, fault: Fault) -> bool:
        """A rolling deployment: the next version joins while the former one leaves."""
        if (worker := self._worker(fault)) is None:
            return False
        worker.stop()
        if fault.detail % 2:
            with suppress(Exception):
                await asyncio.wait([worker.run], timeout=30)
        self._simulation.start_worker()
        return True

    async def worker_joins(self, _fault: Fault) -> bool:
        if len(self._simulation.running) >= 6:
            return False
        self._simulation.start_worker()
        return True

    async def worker_suspended(self, fault: Fault) -> bool:
        if (worker := self._worker(fault)) is None:
            return False
        await suspend(self._loop, worker.process, fault.for_s)
        return True

    async def worker_cut_from_kafka(self, fault: Fault) -> bool:
        return await self._worker_cut(fault, "kafka")

    async def worker_cut_from_hubspot(self, fault: Fault) -> bool:
        return await self._worker_cut(fault, "hubspot")

    async def worker_slow_to_kafka(self, fault: Fault) -> bool:
        return await self._worker_slow(fault, "kafka")

    async def worker_slow_to_hubspot(self, fault: Fault) -> bool:
        return await self._worker_slow(fault, "hubspot")

    async def worker_clock_jumps(self, fault: Fault) -> bool:
        if (worker := self._worker(fault)) is None:
            return False
        worker.process.clock_ahead_s += fault.detail % 7_200 - 3_600
        return True

    async def relay_killed(self, fault: Fault) -> bool:
        return await self._simulation.source.kill_relay(fault)

    async def relay_host_lost(self, fault: Fault) -> bool:
        """The host of a relay is gone, and nobody tells the database."""
        if (process := self._simulation.source.relay(fault.target)) is None:
            return False
        self._simulation.source.lost.add(process)
        self._network.cut.update({(process, "kafka"), (process, "database")})
        return await self._simulation.source.kill_relay(fault, process)

    async def relay_suspended(self, fault: Fault) -> bool:
        return await self._relay(fault, lambda process, fault: suspend(self._loop, process, fault.for_s))

    async def relay_cut_from_kafka(self, fault: Fault) -> bool:
        return await self._relay(fault, lambda process, fault: self._cut(process, "kafka", fault))

    async def relay_cut_from_database(self, fault: Fault) -> bool:
        return await self._relay(fault, lambda process, fault: self._cut(process, "database", fault))

    async def relay_clock_jumps(self, fault: Fault) -> bool:
        if (process := self._simulation.source.relay(fault.target)) is None:
            return False
        process.clock_ahead_s += fault.detail % 7_200 - 3_600
        return True

    def _worker(self, fault: Fault) -> Worker | None:
        running = self._simulation.running
        return running[fault.target % len(running)] if running else None

    async def _relay(self, fault: Fault, do: Callable[[Process, Fault], Awaitable[None]]) -> bool:
        if (process := self._simulation.source.relay(fault.target)) is None:
            return False
        await do(process, fault)
        return True

    async def _worker_cut(self, fault: Fault, server: Server) -> bool:
        if (worker := self._worker(fault)) is None:
            return False
        await self._cut(worker.process, server, fault)
        return True

    async def _worker_slow(self, fault: Fault, server: Server) -> bool:
        if (worker := self._worker(fault)) is None:
            return False
        self._network.slow[worker.process, server] = 3.0
        await asyncio.sleep(fault.for_s)
        self._network.slow.pop((worker.process, server), None)
        return True

    async def _cut(self, process: Process, server: Server, fault: Fault) -> None:
        self._network.cut.add((process, server))
        await asyncio.sleep(fault.for_s)
        self._network.cut.discard((process, server))
