"""Reprocessing: runs that begin, and what happens to them."""

import asyncio
from collections.abc import Collection
from random import Random
from typing import TYPE_CHECKING, Final

from hubspot_consumer.holds.records import FOR_S
from schemas.envelope import Headers
from tests.simulation.faults import Fault
from tests.simulation.injected.processes import suspend
from tests.simulation.loop import Process
from tests.simulation.runs import Disturbance

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation


# How often the replay of a lost timeline is killed.
KILLS: Final = 4


class Reprocessing:
    """Runs begin, and are killed, suspended and slow."""

    def __init__(self, simulation: "Simulation") -> None:
        self._simulation: Final = simulation
        self._loop: Final = simulation.loop

    async def run_suspended(self, fault: Fault) -> bool:
        """Suspend a run for longer than its hold lasts, or shorter."""

        async def suspended(run: Process) -> None:
            # About when it has read the topics, and asks for a hold.
            await asyncio.sleep(1.0 + fault.detail % 60 / 10)
            await suspend(self._loop, run, fault.for_s + FOR_S * (fault.detail // 60 % 4 > 0))

        return await self._resynced(fault, suspended)

    async def run_slow_to_kafka(self, fault: Fault) -> bool:
        async def slow(run: Process) -> None:
            await asyncio.sleep(fault.detail % 60 / 10)
            self._simulation.network.slow[run, "kafka"] = 3.0

        return await self._resynced(fault, slow)

    async def contacts_are_resynced(self, fault: Fault) -> bool:
        return await self._resynced(fault, killed_after_s=_killed_after_s(fault))

    async def events_are_replayed(self, fault: Fault) -> None:
        after_s = _killed_after_s(fault)
        await self._simulation.runs.replay(killed_after_s=() if after_s is None else (after_s,))

    async def timeline_is_lost(self, fault: Fault) -> None:
        """Lose all timeline entries, which a replay restores. It leaves to the workers what they have not acked."""
        runs = self._simulation.runs
        self._simulation.hubspot.lose_timeline()
        # The simulation does not end before the replay has restored them.
        runs.under_way += 1
        lost = set(self._simulation.hubspot.event_ids())
        while not self._acked(lost):  # noqa: ASYNC110 - polls
            await asyncio.sleep(1.0)
        chance = Random(fault.detail)
        await runs.replay(killed_after_s=[chance.uniform(1.0, 10.0) for _ in range(KILLS)])
        runs.under_way -= 1

    def _acked(self, event_ids: Collection[str]) -> bool:
        simulation = self._simulation
        acked = simulation.cluster.group(simulation.settings.group).offsets
        logs = simulation.cluster.broker.events(simulation.settings.topics).items()
        ends = {at: [one.offset for one in log if Headers.decode(one.headers).id in event_ids] for at, log in logs}
        return all(max(offsets, default=-1) < acked.get(at, 0) for at, offsets in ends.items())

    async def _resynced(self, fault: Fault, disturb: Disturbance | None = None, **options: float | None) -> bool:
        keys = sorted({event.contact_key for event in self._simulation.source.committed()})
        if not keys:
            return False
        chosen = {keys[(fault.target + 7 * number) % len(keys)] for number in range(1 + fault.detail % 5)}
        await self._simulation.runs.resync(sorted(chosen), disturb=disturb, **options)
        return True


def _killed_after_s(fault: Fault) -> float | None:
    """Return after how many seconds a run is killed, None for two of three runs."""
    return fault.for_s / 2 if fault.detail % 3 == 0 else None
