"""A run: one command as a process of its own, as the files of its folder tell of it.

The process writes them, so whoever opens the folder later, after a restart of the console too, is told the same.
"""

import fcntl
import json
import os
import shlex
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

Kind = Literal[
    "replay_plan",
    "replay",
    "redrive_plan",
    "redrive",
    "mend_plan",
    "mend",
    "discard",
    "doctor",
    "resync_plan",
    "resync",
]
State = Literal["running", "done", "failed", "stopped", "lost"]
"""`lost`: it ended and nobody was there to see how: its machine, or all that the console had started, was stopped."""

ASKED: Final = "asked.json"
LOCK: Final = "lock"
PID: Final = "pid"
CODE: Final = "code"
OUT: Final = "out"
ERR: Final = "err"
# Interrupted, and ended by SIGTERM before it listened for it.
_STATES: Final[Mapping[str, State]] = {"0": "done", "130": "stopped", "143": "stopped"}
MOST_OUTPUT: Final = 4 * 1024 * 1024
MOST_WORDS: Final = 40


class RunRequest(BaseModel):
    """What was asked for, by whom. *form* is what a page needs to ask the same again."""

    model_config = ConfigDict(frozen=True)

    kind: Kind
    arguments: tuple[str, ...]
    who: str
    began: AwareDatetime
    form: dict[str, Any]


@dataclass
class _Heard:
    """What the process has said on standard error until now."""

    position: int = 0
    rest: bytes = b""
    plan: Mapping[str, Any] | None = None
    resumed: datetime | None = None
    part: str | None = None
    done: int = 0
    total: int | None = None
    words: list[str] = field(default_factory=list)

    def take(self, data: bytes) -> None:
        *lines, self.rest = (self.rest + data).split(b"\n")
        self.position += len(data)
        for line in lines:
            self._take_line(line.decode(errors="replace").strip())

    def _take_line(self, line: str) -> None:
        told: Any = None
        with suppress(ValueError, RecursionError):
            told = json.loads(line)
        match told:
            case {"part": str(part), "done": int(done), "total": int() | None as total}:
                self.part, self.done, self.total = part, done, total
            case {"plan": dict(plan)}:
                self.plan = plan
            case {"resumed": str(began)}:
                with suppress(ValueError):
                    self.resumed = datetime.fromisoformat(began)
            case {"event": str(event)}:
                self._say(" ".join([event, *(f"{name}={each}" for name, each in told.items() if name in _TOLD)]))
            case None if line:
                self._say(line)

    def _say(self, words: str) -> None:
        # A warning may come once a second for as long as an outage takes.
        if not self.words or self.words[-1] != words:
            self.words = [*self.words, words][-MOST_WORDS:]


class StartedRun:
    """One command. `look` brings what is told here up to date."""

    def __init__(self, folder: Path) -> None:
        self._folder: Final = folder
        self.id: Final = folder.name
        self.asked: Final = RunRequest.model_validate_json((folder / ASKED).read_text())
        self._heard: Final = _Heard()
        self.state: State = "running"
        self.ended: datetime | None = None
        self.output: str = ""
        # What it has printed as JSON at its end, if it did.
        self.report: Mapping[str, Any] | None = None
        self.look()

    def look(self) -> None:
        """Read what the process has written since; do nothing when it had ended."""
        if self.state != "running":
            return
        # Before what it says: whatever it said before it ended is there then.
        alive = is_locked(self._folder / LOCK)
        with (self._folder / ERR).open("rb") as errors:
            errors.seek(self._heard.position)
            self._heard.take(errors.read())
        if not alive:
            self._end()

    def _end(self) -> None:
        self._heard.take(b"\n")
        try:
            text = (self._folder / CODE).read_text()
            self.ended = datetime.fromtimestamp((self._folder / CODE).stat().st_mtime, UTC)
            self.state = _STATES.get(text.strip(), "failed")
        except FileNotFoundError:
            self.state = "lost"
        with (self._folder / OUT).open("rb") as output:
            self.output = output.read(MOST_OUTPUT).decode(errors="replace")
        with suppress(ValueError, RecursionError):
            told = json.loads(self.output)
            self.report = told if isinstance(told, dict) else None

    def stop(self) -> None:
        """Tell the process to end. It may take a while: it ends what it was about."""
        if not is_locked(self._folder / LOCK):
            return
        with suppress(FileNotFoundError, ValueError, ProcessLookupError):
            os.kill(int((self._folder / PID).read_text()), signal.SIGTERM)

    @property
    def command_line(self) -> str:
        """What to type for the same."""
        return shlex.join(["python", "-m", "hubspot_consumer", *self.asked.arguments])

    @property
    def plan(self) -> Mapping[str, Any] | None:
        """What it has said that it will do, or would."""
        return self._heard.plan or (self.report or {}).get("plan")

    @property
    def resumed(self) -> datetime | None:
        """When that was begun which it goes on with, if it does."""
        return self._heard.resumed

    @property
    def part(self) -> str | None:
        return self._heard.part

    @property
    def done(self) -> int:
        return self._heard.done

    @property
    def total(self) -> int | None:
        return self._heard.total

    @property
    def words(self) -> list[str]:
        """What it has said to people on standard error."""
        return self._heard.words


def is_locked(file: Path) -> bool:
    """Return whether a process holds *file*: the kernel lets go of it when that ends, however it does."""
    try:
        with file.open("rb") as opened:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


# Of a log line, what tells a person something.
_TOLD: Final = ("reason", "detail", "error", "why")
