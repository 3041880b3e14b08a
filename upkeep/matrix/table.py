"""The table in docs/versions.md, made from what was run, and kept in `results.json`."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from sandbox.variants.versions import KAFKA, POOLERS
from upkeep.matrix.cells import ALL, ENDS, POSTGRES_VERSIONS, Cell

RESULTS: Final = Path(__file__).with_name("results.json")
DOCUMENT: Final = Path(__file__).resolve().parents[2] / "docs" / "versions.md"
BEGIN: Final = "<!-- The table is written by `make matrix ARGS=--write`. -->\n"
END: Final = "<!-- The table ends here. -->\n"
PARTS: Final = ("demo", "order", "failover")
WAYS: Final = {
    "direct": "direct",
    "session": "PgBouncer, session mode",
    "transaction": "PgBouncer, transaction mode; the relay direct",
}

Results = Mapping[str, Mapping[str, Any]]


def read_results() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    return found


def write(results: Results) -> None:
    """Keep the results, and put their table into the document."""
    RESULTS.write_text(json.dumps(results, indent=2, sort_keys=True) + "\n")
    DOCUMENT.write_text(in_document(DOCUMENT.read_text(), results))


def in_document(text: str, results: Results) -> str:
    """Return the document's text with the table of *results* in place of the one that it has."""
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + "\n".join(lines(results)) + "\n" + END + rest.partition(END)[2]


def lines(results: Results) -> Iterator[str]:
    """Yield the table's lines, and those below it."""
    parts = [f"Kafka {KAFKA[kafka]}: {part}" if part == PARTS[0] else part for kafka in ENDS for part in PARTS]
    yield f"| PostgreSQL | the backend's way to it | {' | '.join(parts)} |"
    yield "|---" * (2 + len(parts)) + "|"
    for postgres in POSTGRES_VERSIONS:
        for pooler in POOLERS.values():
            cells = [_shown(results.get(Cell(postgres, pooler, kafka).key), part) for kafka in ENDS for part in PARTS]
            yield f"| {postgres} | {WAYS[pooler]} | {' | '.join(cells)} |"
    run = [results[cell.key] for cell in ALL if cell.key in results]
    days = " and ".join(sorted({str(result["day"]) for result in run}))
    yield ""
    yield f"{len(run)} of {len(ALL)} cells were run{f' on {days}' if days else ''}."
    for cell in ALL:
        if remarks := results.get(cell.key, {}).get("remarks"):
            yield f"- {cell}: {remarks}."


def _shown(result: Mapping[str, Any] | None, part: str) -> str:
    if result is None:
        return "not run"
    return "yes" if result[part] else "**no**"
