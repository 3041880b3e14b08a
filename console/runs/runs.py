"""Runs: the commands that the console has started, the same that people type, each in a process of its own.

A run outlives the console: it writes to files in a folder of its own, and holds a lock there until it ends.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from pydantic import ValidationError

from console.runs.run import ASKED, CODE, ERR, LOCK, OUT, PID, Kind, RunRequest, StartedRun
from runtime.clock import Clock

PROGRAM: Final = (sys.executable, "-m", "hubspot_consumer")
MOST_KEPT: Final = 200
# Runs of one group exclude each other: only one run may write at a time, and plans share a store.
_ONE_AT_A_TIME: Final[Mapping[Kind, str]] = {
    "replay": "writing",
    "redrive": "writing",
    "resync": "writing",
    "replay_plan": "replay_plan",
    "doctor": "doctor",
}
# A shell writes the exit code, also without a running console. It renames the file, which is thus never half written.
_SCRIPT: Final = f'"$@" & echo $! >"$0/{PID}"; wait $!; echo $? >"$0/{CODE}.part"; mv "$0/{CODE}.part" "$0/{CODE}"'


# Of 0 to 19: a process with 0 gets nine times as much of a busy processor.
NICENESS: Final = 10


class AnotherGoesOn(Exception):
    """The requested run can't start while *run* goes on."""

    def __init__(self, run: StartedRun) -> None:
        super().__init__(f"a {run.asked.kind.replace('_', ' ')} goes on already")
        self.run: Final = run


class Runs:
    """Starts runs, and finds those that were started before, also by an earlier console process."""

    def __init__(self, folder: Path, clock: Clock, program: Sequence[str] = PROGRAM) -> None:
        self._folder: Final = folder / "runs"
        # The folder in which a stopped replay keeps its state, so that it can be resumed.
        self.reprocessing: Final = folder / "reprocessing"
        self._clock = clock
        self._program: Final = program
        self._known: dict[str, StartedRun] = {}
        self._processes: list[subprocess.Popen[bytes]] = []
        # The overview reads runs in a thread, and a run's new output may be taken only once.
        self._lock: Final = threading.Lock()

    def start(
        self, kind: Kind, arguments: Sequence[str], who: str, form: Mapping[str, Any], notices: Sequence[str] = ()
    ) -> StartedRun:
        """Start a command. Raises AnotherGoesOn, OSError, and ValueError for an invalid argument."""
        self._refuse_beside_another(kind)
        now = self._clock.now()
        folder = self._folder / f"{now:%Y%m%dT%H%M%S}-{now.microsecond:06}-{uuid4().hex[:6]}"
        # The folder contains emails, so only its owner may read it.
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.mkdir(mode=0o700)
        asked = RunRequest(
            kind=kind, arguments=tuple(arguments), who=who, began=now, form=dict(form), notices=tuple(notices)
        )
        try:
            process = self._begin(folder, asked)
        except Exception:
            # Without its folder, the run that never began is not shown as lost.
            shutil.rmtree(folder, ignore_errors=True)
            raise
        with self._lock:
            self._processes.append(process)
        self._forget_old_ones()
        return self._run(folder.name)

    def of(self, run_id: str) -> StartedRun | None:
        """Return a run as it is now; None if there is no such run."""
        # The id comes from the address: it is a path only if it is the name of a run's folder.
        return self._readable(run_id) if run_id in self._names() else None

    def all(self, *kinds: Kind) -> list[StartedRun]:
        """Return the runs of these *kinds* as they are now, the newest first."""
        with self._lock:
            self._reap()
        return [run for name in self._names() if (run := self._readable(name, kinds))]

    def _begin(self, folder: Path, asked: RunRequest) -> subprocess.Popen[bytes]:
        with (folder / LOCK).open("wb") as lock, (folder / OUT).open("wb") as out, (folder / ERR).open("wb") as err:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # The file is written under the lock: another console process would show an unlocked run as lost.
            (folder / ASKED).write_text(asked.model_dump_json())
            command = ["/bin/sh", "-c", _SCRIPT, str(folder), *self._program, *asked.arguments]
            # The session of its own keeps signals to the console's process group from ending the run.
            process = subprocess.Popen(  # noqa: S603 - our own program, and no shell reads the arguments
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                pass_fds=[lock.fileno()],
                env={**os.environ, "NO_COLOR": "1"},
            )
        # A worker or a relay on the same machine comes first. The session's processes are one group.
        with suppress(ProcessLookupError):
            os.setpriority(os.PRIO_PGRP, process.pid, min(os.getpriority(os.PRIO_PROCESS, 0) + NICENESS, 19))
        return process

    def _refuse_beside_another(self, kind: Kind) -> None:
        group = _ONE_AT_A_TIME.get(kind)
        kinds = [each for each, other in _ONE_AT_A_TIME.items() if other == group]
        if running := next((run for run in self.all(*kinds) if run.state == "running"), None):
            raise AnotherGoesOn(running)

    def _forget_old_ones(self) -> None:
        for name in self._names()[MOST_KEPT:]:
            run = self._readable(name)
            if run is None or run.state != "running":
                self._known.pop(name, None)
                shutil.rmtree(self._folder / name, ignore_errors=True)

    def _names(self) -> list[str]:
        return sorted((path.name for path in self._folder.glob("*/")), reverse=True)

    def _readable(self, name: str, kinds: Collection[Kind] | None = None) -> StartedRun | None:
        """Return a run as it is now, if it can be read and is of one of *kinds*; None is any kind."""
        try:
            if kinds is not None and self._asked(name).asked.kind not in kinds:
                return None
            return self._run(name)
        except (OSError, ValidationError):
            # A console was killed while it started the run, or a newer version wrote a kind that this one lacks.
            return None

    def _run(self, name: str) -> StartedRun:
        with self._lock:
            run = self._asked(name)
            run.look()
            self._reap()
            return run

    def _reap(self) -> None:
        # `poll` reaps a process that has ended.
        self._processes = [process for process in self._processes if process.poll() is None]

    def _asked(self, name: str) -> StartedRun:
        """Return the run as it was last looked at."""
        if name not in self._known:
            self._known[name] = StartedRun(self._folder / name)
        return self._known[name]
