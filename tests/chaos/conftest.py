"""The table of runs, printed at the end."""

from statistics import median

import pytest

COLUMNS = [
    *("fault", "load", "committed", "dead"),
    *("lost", "doubled", "out of order", "backwards", "wrong totals", "429s", "seconds"),
]
_RUNS: list[list[str]] = []
_FAILOVERS: list[tuple[str, float]] = []
_DAYS: list[str] = []


@pytest.fixture
def runs() -> list[list[str]]:
    """Rows of the table, one a run."""
    return _RUNS


@pytest.fixture
def failovers() -> list[tuple[str, float]]:
    """How the active relay was struck, and for how many seconds nothing was published."""
    return _FAILOVERS


@pytest.fixture
def days() -> list[str]:
    """What was measured on hostile days, a line each."""
    return _DAYS


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for how in dict.fromkeys(how for how, _ in _FAILOVERS):
        gaps = sorted(gap for struck, gap in _FAILOVERS if struck == how)
        times = f"{median(gaps):.1f} s, {gaps[-1]:.1f} s at most"
        terminalreporter.write_line(f"the active relay {how}, {len(gaps)} times: nothing published for {times}")
    for line in _DAYS:
        terminalreporter.write_line(line)
    if not _RUNS:
        return
    widths = [max(map(len, column)) for column in zip(COLUMNS, *_RUNS, strict=True)]
    for row in (COLUMNS, *_RUNS):
        terminalreporter.write_line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))
