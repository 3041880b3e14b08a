"""Waking the relay: compares NOTIFY only while it sleeps with NOTIFY in every transaction, and with polling."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any, Final

import psycopg

from bench.outbox.tracking_cost import CONTACTS, TRACK, clear, pgbench, prepare
from bench.usage import cpu_s
from producer.relay.outbox import Outbox
from runtime.clock import SystemClock
from sandbox.day.progress import Progress
from schemas.outbox import CHANNEL

CLIENTS: Final = 16
RUNS: Final = 11
POLL_S: Final = 0.005
IDLE_S: Final = 10.0

STATEMENTS: Final = {
    "transactions/s, relay awake, no NOTIFY": TRACK,
    "transactions/s, NOTIFY in every one": f"{TRACK}\nSELECT pg_notify('{CHANNEL}', '');",
}


async def waking(url: str, directory: Path, database_pid: int, say: Progress) -> Mapping[str, Any]:
    """Return transactions per second with and without NOTIFY, and the CPU usage of each way of waiting while idle."""
    await prepare(url)
    rates: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    async with (
        await psycopg.AsyncConnection.connect(url, autocommit=True) as db,
        await psycopg.AsyncConnection.connect(url, autocommit=True) as listening,
    ):
        # A listener is needed for the comparison: NOTIFY costs almost nothing without one.
        await listening.execute(f"LISTEN {CHANNEL}")
        for number in range(RUNS):
            say(f"{CLIENTS} clients, round {number + 1} of {RUNS}")
            await clear(db)
            for name, statement in STATEMENTS.items():
                script = directory / "wake_up.sql"
                script.write_text(f"\\set contact random(1, {CONTACTS})\nBEGIN;\n{statement}\nCOMMIT;\n")
                rates[name].append(await pgbench(url, script, CLIENTS))
    return {name: round(median(of_runs)) for name, of_runs in rates.items()} | {
        "idle, asleep: CPU % of a core": await _idle(url, database_pid, 1.0),
        f"idle, polling every {POLL_S * 1000:g} ms: CPU % of a core": await _idle(url, database_pid, POLL_S),
    }


async def _idle(url: str, database_pid: int, look_every_s: float) -> float:
    """Return the CPU percentage of a core that polling an empty outbox takes, here and in PostgreSQL together."""
    async with await Outbox.connect(lambda: url, SystemClock()) as outbox:
        began, own, database = time.monotonic(), time.process_time(), cpu_s(database_pid)
        while time.monotonic() - began < IDLE_S:
            await outbox.head(1)
            await asyncio.sleep(look_every_s)
        used = time.process_time() - own + cpu_s(database_pid) - database
    return round(100 * used / IDLE_S, 1)
