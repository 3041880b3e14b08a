"""Injection: the faults of a plan happen at their times."""

import asyncio
from typing import TYPE_CHECKING, Any, Final

from tests.simulation.faults import Fault
from tests.simulation.injected.processes import Processes
from tests.simulation.injected.reprocessing import Reprocessing
from tests.simulation.injected.servers import Servers
from tests.simulation.injected.topics import Topics

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation


class Injection:
    """Lets the plan's faults happen at their times."""

    def __init__(self, simulation: "Simulation") -> None:
        self._simulation: Final = simulation
        self._reprocessing: Final = Reprocessing(simulation)
        self._happenings: Final[tuple[Any, ...]] = (
            Processes(simulation),
            Servers(simulation),
            Topics(simulation),
            self._reprocessing,
        )

    async def run(self) -> None:
        """Let all faults happen; return when the last one has begun."""
        simulation = self._simulation
        simulation.last_fault_ends_at = max((fault.at_s + fault.for_s for fault in simulation.plan.faults), default=0.0)
        for fault in simulation.plan.faults:
            await asyncio.sleep(max(0.0, fault.at_s - simulation.loop.time()))
            simulation.loop.start(simulation.loop.world, self._happen(fault))

    async def _happen(self, fault: Fault) -> None:
        simulation = self._simulation
        [place] = (one for one in self._happenings if hasattr(one, fault.kind))
        # Reprocessing is no fault, whatever happens to it.
        counted = place is not self._reprocessing
        simulation.faults_under_way += counted
        if await getattr(place, fault.kind)(fault) is not False:
            simulation.result.counts[fault.kind] += 1
        simulation.faults_under_way -= counted
        simulation.faults_last()
