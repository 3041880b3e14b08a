"""Tracking's cost: transactions that write a business row, alone, with a bare INSERT, and with `track_lifecycle_event`.

pgbench runs them, since a Python driver would take most of the measured time.
"""

import asyncio
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import psycopg

from bench.bed import Bed
from sandbox.day.progress import Progress
from sandbox.postgres import program
from sandbox.variants.product import Version

CONTACTS: Final = 20_000
# Short runs of all kinds alternate, so that other load on the machine affects them alike.
RUNS: Final = 13
RUN_S: Final = 1

BUSINESS: Final = "INSERT INTO rewards (user_id, amount_cents) VALUES ('usr_' || :contact, 500);"
PAYLOAD: Final = """'{"user_id": "usr_' || :contact || '", "amount_cents": 500, "session_id": "ses_0123456789",
"new_balance_cents": 3500, "earned_at": "2026-11-24T03:00:00.123456Z"}'"""
TRACK: Final = f"SELECT track_lifecycle_event('nova_earned', ({PAYLOAD})::jsonb);"
# A complete row of the same size as an event's, in a table with the same columns, indexes and checks.
BARE: Final = f"""INSERT INTO bare_events (id, aggregateid, type, sequence, payload)
VALUES (gen_random_uuid(), 'driver' || :contact || '@example.com', 'nova_earned', 12, (
'{{"id": "0199b1c2-7d3e-7f4a-8b5c-6d7e8f901234", "type": "nova_earned", "schema_version": 1, "sequence": 12,
"occurred_at": "2026-11-24T03:00:00.123456Z", "totals": {{"nova_earned_cents": 4500, "nova_redeemed_cents": 0}},
"contact": {{"email": "driver' || :contact || '@example.com", "external_id": "usr_' || :contact || '"}},
"payload": ' || {PAYLOAD} || '}}')::jsonb);"""  # noqa: S608 - consists of constants
STATEMENTS: Final = {"alone": "", "bare": BARE, "tracked": TRACK}

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS rewards (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, user_id text NOT NULL,
    amount_cents bigint NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE IF NOT EXISTS bare_events (LIKE outbox_events INCLUDING ALL);
"""
KNOWN: Final = """
SELECT track_lifecycle_event('driver_signed_up',
    jsonb_build_object('user_id', 'usr_' || n, 'email', 'driver' || n || '@example.com'))
FROM generate_series(%s::int, %s::int) AS n
"""


@dataclass(frozen=True)
class Rates:
    """Transactions per second of the three kinds."""

    alone: float
    bare: float
    tracked: float

    @property
    def of_whole_transactions(self) -> float:
        """The time of a transaction with tracking, divided by that of one with a bare INSERT."""
        return self.bare / self.tracked

    @property
    def of_what_is_added(self) -> float:
        """The time that tracking adds to a transaction, divided by the time that a bare INSERT adds."""
        return (1 / self.tracked - 1 / self.alone) / (1 / self.bare - 1 / self.alone)


async def tracking_cost(
    urls: Mapping[str, str], directory: Path, say: Progress, cases: Sequence[tuple[int, int]] = ((16, CONTACTS),)
) -> list[Mapping[str, Any]]:
    """Return the figures of each version, whose migrated database has the URL given, for each (clients, contacts)."""
    for url in urls.values():
        await prepare(url)
    found: list[Mapping[str, Any]] = []
    for clients, contacts in cases:
        say(f"clients: {clients}, contacts: {contacts}")
        measured = await _measure(urls, directory, clients, f"random(1, {contacts})")
        found += [
            {
                "version": version,
                "clients": clients,
                "contacts": contacts,
                "transactions/s, business row alone": round(rates.alone),
                "+ bare INSERT": round(rates.bare),
                "+ track_lifecycle_event": round(rates.tracked),
                "whole transaction, of one with a bare INSERT": round(rates.of_whole_transactions, 2),
                "what it adds, of what a bare INSERT adds": round(rates.of_what_is_added, 2),
            }
            for version, rates in measured.items()
        ]
    return found


async def migrated(bed: Bed, name: str, version: Version) -> str:
    """Return the URL of a new database that this version of the product has migrated."""
    url = await bed.stack.postgres.create_database(f"{name}_{version.name.replace(' ', '_')}")
    process = await asyncio.create_subprocess_exec(
        *version.python,
        *("-m", "producer", "migrate"),
        env={**os.environ, **bed.stack.environment, "DATABASE_URL": url},
        stdout=asyncio.subprocess.DEVNULL,
    )
    if await process.wait():
        raise RuntimeError(f"the migration of {version.name} ended with code {process.returncode}")
    return url


async def prepare(url: str) -> None:
    """Create the tables, and contacts with known emails."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as db:
        await db.execute(SCHEMA)
        for first in range(1, CONTACTS, 5_000):
            await db.execute(KNOWN, [first, first + 4_999])
        await clear(db)


async def clear(db: psycopg.AsyncConnection[Any]) -> None:
    """Reset the tables, so that all rounds start alike."""
    # A relay that keeps up leaves the outbox empty. Without this, later runs would write into larger tables.
    await db.execute("TRUNCATE outbox_events, bare_events, rewards")
    await db.execute("VACUUM ANALYZE outbox_contacts")


async def _measure(urls: Mapping[str, str], directory: Path, clients: int, pick: str) -> dict[str, Rates]:
    rates: dict[str, dict[str, list[float]]] = {version: {name: [] for name in STATEMENTS} for version in urls}
    script = directory / "transaction.sql"
    for _ in range(RUNS):
        for version, url in urls.items():
            async with await psycopg.AsyncConnection.connect(url, autocommit=True) as db:
                await clear(db)
            for name, statement in STATEMENTS.items():
                script.write_text(f"\\set contact {pick}\nBEGIN;\n{BUSINESS}\n{statement}\nCOMMIT;\n")
                rates[version][name].append(await pgbench(url, script, clients))
    return {
        version: Rates(**{name: median(of_runs) for name, of_runs in of_version.items()})
        for version, of_version in rates.items()
    }


async def pgbench(url: str, script: Path, clients: int) -> float:
    """Run a script, and return its transactions per second. Raises RuntimeError with pgbench's messages."""
    process = await asyncio.create_subprocess_exec(
        program("pgbench"),
        *("--no-vacuum", "--protocol=prepared", f"--client={clients}", f"--time={RUN_S}", f"--file={script}", url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    rate = re.search(r"^tps = ([\d.]+)", output.decode(), re.MULTILINE)
    if process.returncode or rate is None:
        raise RuntimeError(f"pgbench ended with code {process.returncode}:\n{errors.decode()}")
    return float(rate[1])
