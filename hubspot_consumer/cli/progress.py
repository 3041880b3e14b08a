"""Progress: a bar with rate and time left at a terminal, a line every ten seconds elsewhere."""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Annotated, Any, Final, Literal, Self

import typer
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


class Display:
    """Shows people on standard error what a command does: as a bar at a terminal, as text lines elsewhere."""

    def tell(self, *lines: str, **_facts: Any) -> None:
        """Show *lines* to people, or *facts* to programs."""
        for line in lines:
            print(line, file=sys.stderr)

    def begin(self, part: str) -> None:
        """Tell programs that a part of unknown length has begun."""

    @contextmanager
    def progress(self, part: str) -> Iterator[Shown]:
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


class JsonLines(Display):
    """Prints JSON lines on standard error for programs: facts, and regularly the progress of the present part.

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

    def tell(self, *_lines: str, **facts: Any) -> None:
        with self._lock:
            print(json.dumps(facts), file=sys.stderr, flush=True)

    def begin(self, part: str) -> None:
        self._at(part, 0, None)

    @contextmanager
    def progress(self, part: str) -> Iterator[Shown]:
        self.begin(part)
        yield partial(self._at, part)
        # The end of a short part would be missed otherwise.
        self.tell_now()

    def tell_now(self) -> None:
        """Print the present progress."""
        if (now := self._now) is not None:
            self.tell(**now)

    def _at(self, part: str, done: int, total: int | None) -> None:
        """Record the progress of a part for the next regular line; a new part is printed at once."""
        if self._now is None or self._now["part"] != part:
            self.tell(part=part, done=done, total=total)
        self._now = {"part": part, "done": done, "total": total}

    def _tell_on(self) -> None:
        while not self._ended.wait(TELL_EVERY_S):
            self.tell_now()


ProgressAs = Annotated[
    Literal["bars", "json"],
    typer.Option("--progress", help="bars for people; json: a line twice a second on standard error, for programs."),
]
# The help of --progress promises two lines a second; this leaves a margin.
TELL_EVERY_S: Final = 0.4


def display(progress_as: str) -> AbstractContextManager[Display]:
    """Return the display for people or for programs, which is shown during its context."""
    return JsonLines() if progress_as == "json" else nullcontext(Display())
