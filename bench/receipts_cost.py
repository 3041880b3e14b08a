"""The cost of receipts: compares a worker with receipts to one without, at a backlog with a quota that never limits."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any, Final

from bench.bed import Bed
from sandbox.services import Service

Row = Mapping[str, Any]

EVENTS: Final = 60_000
CONTACTS: Final = 12_000
QUOTA: Final = 5_000
LATENCY_MS: Final = 50
# Runs with and without receipts alternate, so that other load on the machine affects both alike.
PAIRS: Final = 3
COMPARED: Final = ("events/s", "CPU us per event")


async def receipts(bed: Bed) -> list[Row]:
    """A backlog of 60,000 events with and without receipts, three times in turns; the median of each."""
    measured: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for _ in range(PAIRS):
        for on, figures in measured.items():
            figures.append(await _drained(bed, on=on))
    rows = [_row(on, figures) for on, figures in measured.items()]
    return [
        {**row, **{f"{name}, of without": round(row[name] / rows[1][name], 2) for name in COMPARED}} for row in rows
    ]


async def _drained(bed: Bed, *, on: bool) -> tuple[float, float]:
    """Return the seconds that a backlog took to drain, and the CPU seconds of the worker."""
    environment = await bed.backlog(EVENTS, CONTACTS, quota=QUOTA, latency_ms=LATENCY_MS)
    own = {"HUBSPOT_RATE_LIMIT": str(QUOTA), "DELIVERY_RECEIPTS": str(on).lower()}
    async with bed.running_worker({**environment, **own}) as worker:
        await bed.until_held(1, within_s=60)
        before = _processor_s(worker)
        seconds = await bed.until_held(EVENTS, within_s=300)
        used_s = _processor_s(worker) - before
        if on:
            await _until_written(worker)
    bed.say(f"receipts {'on' if on else 'off'}: {EVENTS / seconds:,.0f} events/s, {used_s:.1f} s of the processor")
    return seconds, used_s


async def _until_written(worker: Service) -> None:
    while (await worker.status())["receipts"]["written"] < EVENTS:  # noqa: ASYNC110 - polls another process
        await asyncio.sleep(0.2)


def _row(on: bool, figures: list[tuple[float, float]]) -> dict[str, Any]:  # noqa: FBT001 - the value of the table's first column
    seconds, used_s = (median(each) for each in zip(*figures, strict=True))
    return {
        "receipts": "on" if on else "off",
        "events": EVENTS,
        "events/s": round(EVENTS / seconds),
        "CPU us per event": round(used_s / EVENTS * 1e6),
    }


def _processor_s(service: Service) -> float:
    """Return the CPU seconds that a process has used, from Linux's /proc."""
    fields = Path(f"/proc/{service.pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")
