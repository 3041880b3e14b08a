"""`python -m upkeep matrix`: runs cells of the matrix, one after the other."""

import asyncio
import shutil
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from runtime.commands import FAILED, MISCONFIGURED
from sandbox.java import JarsUnavailable
from sandbox.variants.pgbouncer import PgBouncerUnavailable
from sandbox.variants.postgres_programs import PostgresUnavailable
from upkeep.matrix import table
from upkeep.matrix.cells import Cell, UnknownCell, selected
from upkeep.matrix.trial import Outcome, Trial

DIRECTORY: Final = Path(".sandbox")
UNAVAILABLE: Final = (JarsUnavailable, PgBouncerUnavailable, PostgresUnavailable)


def matrix(
    *,
    postgres: Annotated[list[str] | None, typer.Option(help="A version: 14 to 18, oldest, newest. Repeatable.")] = None,
    pooler: Annotated[list[str] | None, typer.Option(help="direct, session or transaction. Repeatable.")] = None,
    kafka: Annotated[list[str] | None, typer.Option(help="oldest or newest. Repeatable.")] = None,
    write: Annotated[bool, typer.Option("--write", help="Write the table in docs/versions.md.")] = False,
    where_available: Annotated[
        bool, typer.Option("--where-available", help="Exit with 0, and say so, if servers can't be had.")
    ] = False,
) -> None:
    """Run the whole path on combinations of servers: all of them, or those that the options name.

    A cell plays a day of traffic with an outage of HubSpot's, and another one in which PostgreSQL and Kafka are killed;
    every event has to arrive, once and in order. Exits with 1 if one did not, with 3 if servers can't be had.
    """
    try:
        cells = list(selected(postgres or (), pooler or (), kafka or ()))
    except UnknownCell as unknown:
        typer.echo(str(unknown), err=True)
        raise SystemExit(MISCONFIGURED) from None
    results, missing, failed = table.read_results(), False, False
    for cell in cells:
        try:
            outcome = _run(cell)
        except UNAVAILABLE as reason:
            print(f"{cell}: NOT RUN ({reason})", flush=True)
            missing = True
            continue
        print(f"{cell}: {_said(outcome)}", flush=True)
        failed = failed or not outcome.passed
        results[cell.key] = {**asdict(outcome), "day": f"{datetime.now(UTC):%Y-%m-%d}"}
        if write:
            table.write(results)
    if failed:
        raise SystemExit(FAILED)
    if missing and not where_available:
        raise SystemExit(3)


def _run(cell: Cell) -> Outcome:
    DIRECTORY.mkdir(exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="matrix-", dir=DIRECTORY.resolve()))
    try:
        outcome = asyncio.run(Trial(directory, cell.variant).run())
    except UNAVAILABLE:
        shutil.rmtree(directory)
        raise
    except Exception as error:  # noqa: BLE001 - whatever ends a trial is its outcome, and the next cell is run
        first = f"{type(error).__name__}: {error}".splitlines()[0]
        return Outcome("", demo=False, order=False, failover=False, seconds=0, remarks=f"{first} ({directory.name})")
    if outcome.passed:
        shutil.rmtree(directory)
    return outcome


def _said(outcome: Outcome) -> str:
    parts = ", ".join(f"{part} {'ok' if getattr(outcome, part) else 'FAILED'}" for part in table.PARTS)
    remarks = f" ({outcome.remarks})" if outcome.remarks else ""
    return f"{parts}{remarks}; {outcome.seconds:g} s; {outcome.servers}"
