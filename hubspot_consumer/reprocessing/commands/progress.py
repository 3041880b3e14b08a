"""Progress: a bar with rate and time left at a terminal, a line every ten seconds elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from hubspot_consumer.reprocessing.commands.watcher import Watcher

LINE_EVERY_S: Final = 10.0


class Shown(Protocol):
    def __call__(self, done: int, total: int) -> None:
        """Show how much is done."""


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:,.0f}/s")


@contextmanager
def progress(what: str, watcher: Watcher | None = None) -> Iterator[Shown]:
    """Show on standard error how far *what* has come: as a bar, as lines, or as the *watcher* wants it."""
    if watcher is not None:
        watcher.at(what, 0, None)
        yield partial(watcher.at, what)
        watcher.tell_now()
        return
    if not sys.stderr.isatty():
        yield _Lines(what)
        return
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn(compact=True))
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=None)

        def shown(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield shown


class _Lines:
    def __init__(self, what: str) -> None:
        self._what: Final = what
        self._began = self._told = time.monotonic()
        self._first: int | None = None

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        self._first = done if self._first is None else self._first
        if now - self._told < LINE_EVERY_S:
            return
        self._told = now
        rate = (done - self._first) / (now - self._began)
        left = f", {(total - done) / rate:,.0f} s left" if rate else ""
        print(f"{self._what}: {done:,} of {total:,}, {rate:,.0f}/s{left}", file=sys.stderr)
