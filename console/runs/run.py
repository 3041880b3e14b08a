"""A run: one command in a process of its own, read from the files of its folder.

The process writes the files, so that they can be read after a restart of the console too.
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

from console.runs.pace import Pace

Kind = Literal[
    "replay_plan",
    "replay",
    "redrive_plan",
    "redrive",
    "mend_plan",
    "mend",
    "discard_plan",
    "discard",
    "doctor",
    "resync_plan",
    "resync",
]
State = Literal["running", "done", "failed", "stopped", "lost"]
"""`lost`: the run ended without an exit code, since its machine or all processes of the console were killed."""

ASKED: Final = "asked.json"
LOCK: Final = "lock"
PID: Final = "pid"
CODE: Final = "code"
OUT: Final = "out"
ERR: Final = "err"
# 130 is an interrupted command, 143 one that SIGTERM ended before the command handled the signal.
_STATES: Final[Mapping[str, State]] = {"0": "done", "130": "stopped", "143": "stopped"}
MOST_OUTPUT: Final = 4 * 1024 * 1024
MOST_WORDS: Final = 40


class RunRequest(BaseModel):
    """The requested command, and the person who requested it. *form* has the form fields for a repeat.

    *notices* says which settings of the workers differed from the console's or could not be compared.
    """

    model_config = ConfigDict(frozen=True)

    kind: Kind
    arguments: tuple[str, ...]
    who: str
    began: AwareDatetime
    form: dict[str, Any]
    notices: tuple[str, ...] = ()


@dataclass
class Progress:
    """The progress and messages that the process has written to standard error so far."""

    position: int = 0
    rest: bytes = b""
    plan: Mapping[str, Any] | None = None
    # Start time of the run that this one resumes, if any.
    resumed: datetime | None = None
    part: str | None = None
    done: int = 0
    total: int | None = None
    pace: Pace = field(default_factory=Pace)
    # The last messages for people, at most MOST_WORDS.
    words: list[str] = field(default_factory=list)

    def take(self, data: bytes) -> None:
        *lines, self.rest = (self.rest + data).split(b"\n")
        self.position += len(data)
        for line in lines:
            self._take_line(line.decode(errors="replace").strip())

    def _take_line(self, line: str) -> None:
        message: Any = None
        with suppress(ValueError, RecursionError):
            message = json.loads(line)
        match message:
            case {"part": str(part), "done": int(done), "total": int() | None as total}:
                self.part, self.done, self.total = part, done, total
                if isinstance(after_s := message.get("after_s"), int | float):
                    self.pace.take(part, done, after_s)
            case {"plan": dict(plan)}:
                self.plan = plan
            case {"resumed": str(began)}:
                with suppress(ValueError):
                    self.resumed = datetime.fromisoformat(began)
            case {"event": str(event)}:
                self._add_words(
                    " ".join([event, *(f"{name}={each}" for name, each in message.items() if name in _SHOWN)])
                )
            case None if line:
                self._add_words(line)

    @property
    def left_s(self) -> float | None:
        """The seconds until the present part is done, at the present pace; None if that can't be told."""
        return self.pace.left_s(self.total)

    def _add_words(self, words: str) -> None:
        # Repeated lines are dropped: during an outage, a warning may come once a second.
        if not self.words or self.words[-1] != words:
            self.words = [*self.words, words][-MOST_WORDS:]


class StartedRun:
    """One command that was started. `look` updates its attributes."""

    def __init__(self, folder: Path) -> None:
        self._folder: Final = folder
        self.id: Final = folder.name
        self.asked: Final = RunRequest.model_validate_json((folder / ASKED).read_text())
        self.progress: Final = Progress()
        self.state: State = "running"
        self.ended: datetime | None = None
        self.output: str = ""
        # The JSON object that the command printed at its end, if it did.
        self.report: Mapping[str, Any] | None = None

    def look(self) -> None:
        """Read new output of the process; do nothing once its end has been read."""
        if self.state != "running":
            return
        # The lock is checked before the output is read: the output of an ended process is then complete.
        alive = is_locked(self._folder / LOCK)
        with (self._folder / ERR).open("rb") as errors:
            errors.seek(self.progress.position)
            self.progress.take(errors.read())
        if not alive:
            self._end()

    def _end(self) -> None:
        self.progress.take(b"\n")
        try:
            text = (self._folder / CODE).read_text()
            self.ended = datetime.fromtimestamp((self._folder / CODE).stat().st_mtime, UTC)
            self.state = _STATES.get(text.strip(), "failed")
        except FileNotFoundError:
            self.state = "lost"
        with (self._folder / OUT).open("rb") as output:
            self.output = output.read(MOST_OUTPUT).decode(errors="replace")
        with suppress(ValueError, RecursionError):
            report = json.loads(self.output)
            self.report = report if isinstance(report, dict) else None

    def stop(self) -> None:
        """Send SIGTERM to the process. It may run on for a while to finish its current work."""
        if not is_locked(self._folder / LOCK):
            return
        with suppress(FileNotFoundError, ValueError, ProcessLookupError):
            os.kill(int((self._folder / PID).read_text()), signal.SIGTERM)

    @property
    def command_line(self) -> str:
        """The equivalent shell command."""
        return shlex.join(["python", "-m", "hubspot_consumer", *self.asked.arguments])

    @property
    def plan(self) -> Mapping[str, Any] | None:
        """The plan that the command has reported."""
        return self.progress.plan or (self.report or {}).get("plan")


def is_locked(file: Path) -> bool:
    """Return whether a process has locked *file*. The kernel releases the lock when the process ends in any way."""
    try:
        with file.open("rb") as opened:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


# The fields of a log line that are shown to people.
_SHOWN: Final = ("reason", "detail", "error", "why")
