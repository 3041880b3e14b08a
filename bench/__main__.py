"""`python -m bench`: runs the measurements of the services and of the console."""

import asyncio
import json
import logging
import os
import platform
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table

from bench.bed import Bed
from bench.measurements import MEASUREMENTS, Row
from bench.table import FIGURES, PAGE, lines, page_with
from sandbox.stack import Stack

RESULTS: Final = Path(__file__).parent / "results.json"
console = Console()


def bench(
    names: Annotated[
        list[str] | None,
        typer.Argument(help=f"Of {', '.join(MEASUREMENTS)}. Without one, those of the table in docs/performance.md."),
    ] = None,
    output: Annotated[
        Path, typer.Option(help="Where the figures go, as JSON; the others there stay. Elsewhere, the page stays too.")
    ] = RESULTS,
) -> None:
    """Measure, print tables, and write the figures as JSON with the machine named, and docs/performance.md's table."""
    chosen = names or list(dict.fromkeys(figure.measurement for figure in FIGURES))
    if unknown := [name for name in chosen if name not in MEASUREMENTS]:
        raise typer.BadParameter(f"no such measurement: {', '.join(unknown)}; there are {', '.join(MEASUREMENTS)}")
    # The messages that aiokafka's producer logs about new topics are irrelevant here.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="nerava-bench-", ignore_cleanup_errors=True) as folder:
        asyncio.run(_measure(chosen, Path(folder), output))
    table = list(lines(FIGURES, json.loads(output.read_text())))
    console.print(Markdown("\n".join(table)))
    if output == RESULTS:
        PAGE.write_text(page_with(table, PAGE.read_text()))


async def _measure(names: Sequence[str], directory: Path, output: Path) -> None:
    async with Stack(directory, progress=_say) as stack:
        bed = Bed(directory, stack, _say)
        try:
            for name in names:
                began = time.monotonic()
                rows = await MEASUREMENTS[name](bed)
                console.print(_table(name, rows))
                _keep(output, name, rows, time.monotonic() - began)
        finally:
            await bed.close()


def _say(step: str) -> None:
    console.print(f"[dim]· {step}[/]")


def _table(name: str, rows: Sequence[Row]) -> Table:
    # Each run has a column, since the many figures of a run would not fit a terminal side by side.
    table = Table(title=(MEASUREMENTS[name].__doc__ or name).strip(), show_header=False)
    for figure in rows[0]:
        table.add_row(figure, *(_shown(row[figure]) for row in rows))
    return table


def _shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _keep(output: Path, name: str, rows: Sequence[Row], seconds: float) -> None:
    kept: dict[str, Any] = json.loads(output.read_text()) if output.exists() else {}
    kept[name] = {"machine": _machine(), "took_s": round(seconds), "rows": rows}
    output.write_text(json.dumps(kept, indent=2) + "\n")


def _machine() -> str:
    cpus = [line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory = next((int(line.split()[1]) // 2**20 for line in _lines("/proc/meminfo") if "MemTotal" in line), 0)
    cpu = cpus[0] if cpus else platform.processor()
    return f"{os.cpu_count()} cores of {cpu}, {memory} GiB, {platform.system()}, Python {platform.python_version()}"


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


if __name__ == "__main__":
    typer.run(bench)
