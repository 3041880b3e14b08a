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
        """Show how much is done."""


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:,.0f}/s")


class Watcher:
    """Tells one JSON object a line: the plan once it is made, and all the time which part has come how far.

    From a thread of its own: to fold a million events keeps the others busy, and silence would look like a hang.
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
        """Tell it once."""
        with self._lock:
            print(json.dumps(what), file=sys.stderr, flush=True)

    def at(self, part: str, done: int, total: int | None) -> None:
        """Note how far a part has come, to be told with the next line."""
        if self._now is None or self._now["part"] != part:
            self.tell(part=part, done=done, total=total)
        self._now = {"part": part, "done": done, "total": total}

    def tell_now(self) -> None:
        """Tell how far it has come: a part that ended quickly would end untold."""
        if (now := self._now) is not None:
            self.tell(**now)

    def _tell_on(self) -> None:
        while not self._ended.wait(TELL_EVERY_S):
            self.tell_now()


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


ProgressAs = Annotated[
    Literal["bars", "json"],
    typer.Option("--progress", help="bars for people; json: a line twice a second on standard error, for programs."),
]
# Twice a second is promised.
TELL_EVERY_S: Final = 0.4


@contextmanager
def watched(progress_as: str) -> Iterator[Watcher | None]:
    """Tell a program that watches, meanwhile; None where it is a person."""
    if progress_as != "json":
        yield None
        return
    with Watcher() as watcher:
        yield watcher


def now_at(part: str, watcher: Watcher | None) -> None:
    """Tell a program that a part has begun of which nobody can say how long it is."""
    if watcher is not None:
        watcher.at(part, 0, None)


def tell_plan(watcher: Watcher | None, plan: Mapping[str, Any], words: Iterator[str]) -> None:
    """Tell what will be done: to a person in *words*."""
    if watcher is not None:
        watcher.tell(plan=plan)
    else:
        print(*words, sep="\n", file=sys.stderr)
