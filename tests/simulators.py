"""The HubSpot simulator as a process, for tests that need nothing else of the stack."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sandbox.processes import free_port
from sandbox.services import READY_WITHIN_S
from sandbox.services import simulator as simulator_process
from sandbox.simulator import Simulator


@asynccontextmanager
async def running_simulator(directory: Path, *options: str) -> AsyncIterator[Simulator]:
    """Run a simulator that answers, and end it however the test ends."""
    process = simulator_process(directory, free_port(), options)
    process.launch()
    try:
        async with Simulator(process.url) as simulator:
            await process.until(simulator.answers, within_s=READY_WITHIN_S)
            yield simulator
    finally:
        await process.kill()
