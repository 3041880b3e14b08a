"""The table of docs/performance.md: what each figure was, is, and must be, from bench/results.json."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sandbox.variants.product import OLDER, THIS

PAGE: Final = Path(__file__).parents[1] / "docs/performance.md"
BEGIN, END = "<!-- figures -->\n", "<!-- /figures -->\n"
VERSION: Final = "version"

Results = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Figure:
    """One line of the table: a *column* of a measurement's rows, of those that have the values in *rows*.

    The measurement's rows name their version in the column VERSION.
    """

    what: str
    measurement: str
    column: str
    must: str
    rows: Mapping[str, Any] = field(default_factory=dict)

    def of(self, results: Results, version: str) -> str:
        """Return the figure of a version; a dash where it was not measured."""
        wanted = {**self.rows, VERSION: version}
        for row in results.get(self.measurement, {}).get("rows", ()):
            if wanted.items() <= row.items():
                value = row[self.column]
                return f"{value:,}" if isinstance(value, int) else str(value)
        return "-"


FIGURES: Final = (
    Figure("events a second of one worker, 1,000,000 events of 1,000 contacts", "folding", "events/s", "7,000"),
    Figure("a worker's peak memory, backlog of 1,000,000 beside 10,000", "memory", "of that at 10,000", "1.10"),
    Figure("CPU of a worker at 300 events/s, % of a core", "cpu_live", "worker, CPU % of a core", "half"),
    Figure("CPU of a relay at 300 events/s, % of a core", "cpu_live", "relay, CPU % of a core", "half"),
    Figure("receipts, share of a worker's CPU", "receipts", "receipts' share of CPU", "5 %"),
    Figure("replay: read and fold 1,000,000 events, of a bare read", "replaying", "of a bare read", "0.55"),
    *(
        Figure(
            f"calls used of those allowed, {workers} worker{'s'[: workers - 1]}",
            "calls_used",
            "calls used of allowed",
            "97.5 %",
            {"workers": workers},
        )
        for workers in (1, 2, 3, 8)
    ),
    Figure("commit to timeline entry at 10 events/s, p50 ms", "latency", "p50 ms", "15", {"events/s": 10}),
    Figure("the same, p99 ms", "latency", "p99 ms", "80", {"events/s": 10}),
    Figure("the same at 60 events/s over 600 contacts, p99 ms", "latency", "p99 ms", "1,000", {"events/s": 60}),
    *(
        Figure(
            f"relay at {rate}/s beside Debezium: {figure}", "relay_latency", f"{rate}/s: {figure}, of Debezium", must
        )
        for rate in (50, 1000)
        for figure, must in (("p50 ms", "1.00"), ("p99 ms", "1.00"), ("CPU % of a core", "0.25"))
    ),
    Figure(
        "what tracking adds to a transaction, of what a bare INSERT adds, 16 clients",
        "tracking",
        "what it adds, of what a bare INSERT adds",
        "1.80",
    ),
    Figure("contact page while its index is built, p99, ms", "contact_pages", "page p99 ms, index being built", "300"),
    Figure("page of 100,000 dead letters, p99, ms", "dead_letters_page", "page p99 ms", "300"),
    Figure("the same after one more, ms", "dead_letters_page", "page that shows one more, median ms", "300"),
)


def lines(figures: Sequence[Figure], results: Results) -> Iterator[str]:
    """Yield the lines of the table in Markdown."""
    yield f"| figure | at {OLDER} | now | must | `make bench ARGS=` |"
    yield "|---|---|---|---|---|"
    for figure in figures:
        before, now = (figure.of(results, version) for version in (OLDER, THIS.name))
        yield f"| {figure.what} | {before} | {now} | {figure.must} | `{figure.measurement}` |"
    machines = sorted(
        {results[name]["machine"] for name in {figure.measurement for figure in figures} & results.keys()}
    )
    yield ""
    yield f"Measured on {' and on '.join(machines) or 'no machine yet'}."


def page_with(table: Iterable[str], page: str) -> str:
    """Return the *page* with the table between its two marks. Raises ValueError without the marks."""
    before, _, rest = page.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"{PAGE.name} has no place for the table")
    return f"{before}{BEGIN}" + "".join(f"{line}\n" for line in table) + f"{END}{after}"
