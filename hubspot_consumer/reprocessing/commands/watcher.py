"""The watcher: a program that runs one of these commands, and is told on standard error how far it has come."""

import json
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, Final, Literal, Self

import typer

ProgressAs = Annotated[
    Literal["bars", "json"],
    typer.Option("--progress", help="bars for people; json: a line twice a second on standard error, for programs."),
]
# Twice a second is promised.
TELL_EVERY_S: Final = 0.4


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
