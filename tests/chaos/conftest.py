"""The table of runs, printed at the end."""

import pytest

COLUMNS = [
    *("fault", "load", "seed", "committed", "dead"),
    *("lost", "doubled", "out of order", "backwards", "wrong totals", "429s", "seconds"),
]
_RUNS: list[list[str]] = []


@pytest.fixture
def runs() -> list[list[str]]:
    """Rows of the table, one a run."""
    return _RUNS


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _RUNS:
        return
    widths = [max(map(len, column)) for column in zip(COLUMNS, *_RUNS, strict=True)]
    for row in (COLUMNS, *_RUNS):
        terminalreporter.write_line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))
