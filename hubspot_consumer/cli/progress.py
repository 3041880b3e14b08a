"""Progress: a bar with rate and time left at a terminal, a line every ten seconds elsewhere."""

import json
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Any, Final, Literal, Protocol, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

LINE_EVERY_S: Final = 10.0


class Shown(Protocol):
    def __call__(self, done: int, total: int) -> None:
        """Show that *done* of *total* items are done."""


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:,.0f}/s")


class Watcher:
    """Prints JSON lines on standard error: the plan once it is made, and regularly the progress of the present part.

    It prints from its own thread: projecting a million events blocks the event loop, and silence looks like a hang.
    """

    def __init__(self) -> None:
        self._now: dict[str, Any] | None = None
        self._lock: Final = threading.Lock()
        self._ended: Final = threading.Event()
        self._thread: Final = threading.Thread(target=self._tell_on, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def tell(self, **what: Any) -> None:
        """Print one JSON object."""
        with self._lock:
            print(json.dumps(what), file=sys.stderr, flush=True)

    def at(self, part: str, done: int, total: int | None) -> None:
        """Record the progress of a part for the next regular line; a new part is printed at once."""
        if self._now is None or self._now["part"] != part:
            self.tell(part=part, done=done, total=total)
        self._now = {"part": part, "done": done, "total": total}

    def tell_now(self) -> None:
        """Print the present progress, so that the end of a short part is not missed."""
        if (now := self._now) is not None:
            self.tell(**now)

    def _tell_on(self) -> None:
        while not self._ended.wait(TELL_EVERY_S):
            self.tell_now()


@contextmanager
def progress(what: str, watcher: Watcher | None = None) -> Iterator[Shown]:
    """Show the progress of *what* on standard error: as a bar, as text lines, or as JSON lines with a *watcher*."""
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


ProgressAs = Annotated[
    Literal["bars", "json"],
    typer.Option("--progress", help="bars for people; json: a line twice a second on standard error, for programs."),
]
# The help of --progress promises two lines a second; this leaves a margin.
TELL_EVERY_S: Final = 0.4


@contextmanager
def watched(progress_as: str) -> Iterator[Watcher | None]:
    """Return a watcher that runs during the context, or None if the progress is not for a program."""
    if progress_as != "json":
        yield None
        return
    with Watcher() as watcher:
        yield watcher


def now_at(part: str, watcher: Watcher | None) -> None:
    """Print that a part of unknown length has begun, if there is a *watcher*."""
    if watcher is not None:
        watcher.at(part, 0, None)


def tell_plan(watcher: Watcher | None, plan: Mapping[str, Any], words: Iterator[str]) -> None:
    """Print the plan on standard error: as JSON with a *watcher*, or else as *words*."""
    if watcher is not None:
        watcher.tell(plan=plan)
    else:
        print(*words, sep="\n", file=sys.stderr)
