"""What a command shows on standard error: to people, or as JSON to programs."""

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Annotated, Any, Final, Literal, Self

import typer

from runtime.progress import Shown, shown_progress


class Display:
    """Shows people on standard error what a command does: as a bar at a terminal, as text lines elsewhere."""

    def tell(self, *lines: str, **_facts: Any) -> None:
        """Show *lines* to people, or *facts* to programs."""
        for line in lines:
            print(line, file=sys.stderr)

    def begin(self, part: str) -> None:
        """Tell programs that a part of unknown length has begun."""

    def progress(self, part: str) -> AbstractContextManager[Shown]:
        """Show the progress of a part, which the context's value is called with."""
        return shown_progress(part)


class JsonLines(Display):
    """Prints JSON lines on standard error for programs: facts, and regularly the progress of the present part.

    It prints from its own thread: projecting a million events blocks the event loop, and silence looks like a hang.
    A line of progress has the seconds since the command began, so that its reader can tell a rate.
    """

    def __init__(self) -> None:
        self._began: Final = time.monotonic()
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
            self.tell(**now, after_s=self._after_s())

    def _at(self, part: str, done: int, total: int | None) -> None:
        """Record the progress of a part for the next regular line; a new part is printed at once."""
        if self._now is None or self._now["part"] != part:
            self.tell(part=part, done=done, total=total, after_s=self._after_s())
        self._now = {"part": part, "done": done, "total": total}

    def _after_s(self) -> float:
        return round(time.monotonic() - self._began, 2)

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
