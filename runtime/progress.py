"""A command's progress on standard error: a bar with rate and time left at a terminal, a line every ten seconds
elsewhere.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

LINE_EVERY_S: Final = 10.0

Shown = Callable[[int, int], object]
"""Called with the number of finished items, and the total number."""


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:,.0f}/s")


class _Lines:
    def __init__(self, what: str) -> None:
        self._what: Final = what
        self._began = self._printed = time.monotonic()
        self._first: int | None = None

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        self._first = done if self._first is None else self._first
        if now - self._printed < LINE_EVERY_S:
            return
        self._printed = now
        rate = (done - self._first) / (now - self._began)
        left = f", {(total - done) / rate:,.0f} s left" if rate else ""
        print(f"{self._what}: {done:,} of {total:,}, {rate:,.0f}/s{left}", file=sys.stderr)


@contextmanager
def shown_progress(part: str) -> Iterator[Shown]:
    """Show the progress of a part, which the context's value is called with."""
    if not sys.stderr.isatty():
        yield _Lines(part)
        return
    columns = (TextColumn(part), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn(compact=True))
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(part, total=None)

        def shown(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield shown
