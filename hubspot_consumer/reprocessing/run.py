"""A run: one reprocessing from its first record to its report, with files from which it can continue after a stop."""

import fcntl
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self, TextIO
from uuid import uuid4

from hubspot_consumer.history.store import EventStore

FOLDER: Final = ".reprocessing"


class UnfinishedRun(ValueError):
    """An unfinished run with other options exists."""


class NoFolder(ValueError):
    """The folder of the run can't be written."""


class AlreadyRunning(ValueError):
    """Another process has the lock of the run."""


class Run:
    """One run's files: its store, and at the end its report. *resumed* is True if an earlier process began the run."""

    def __init__(self, file: Path, lock: TextIO, run_id: str, began: datetime, *, resumed: bool) -> None:
        # The lock lasts as long as the file is open: the kernel releases it when the process ends for any reason.
        self._lock = lock
        self.file: Final = file
        self.store: Final = EventStore(file)
        self.id: Final = run_id
        self.began: Final = began
        self.resumed: Final = resumed

    @classmethod
    def open(cls, folder: Path, name: str, asked: Mapping[str, Any], now: datetime, *, fresh: bool) -> Self:
        """Continue the run of that name if it has the same options *asked*, or begin one.

        Raises UnfinishedRun, AlreadyRunning and NoFolder.
        """
        file = folder / f"{name}.sqlite"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = _locked(file)
            if fresh:
                _remove(file)
            kept = _kept(file)
        except OSError as error:
            raise NoFolder(f"--folder: {folder} can't be written: {error.strerror}") from None
        if kept is None:
            _remove(file)
            run = cls(file, lock, uuid4().hex[:12], now, resumed=False)
            run.store.keep(run={"id": run.id, "asked": asked, "began": now.isoformat()})
            return run
        if kept["asked"] != json.loads(json.dumps(asked)):
            lock.close()
            words = json.dumps(kept["asked"])
            raise UnfinishedRun(
                f"a {name} of {kept['began']} with {words} is unfinished: run it again with these options to continue, "
                "or pass --fresh to drop it"
            )
        return cls(file, lock, kept["id"], datetime.fromisoformat(kept["began"]), resumed=True)

    def finish(self, report: Mapping[str, Any]) -> Path:
        """Write the report into the store's folder, remove the store, and return the report's path."""
        self.store.close()
        path = self.file.with_name(f"{self.file.stem}-{self.began.astimezone(UTC):%Y%m%dT%H%M%S}-{self.id}.json")
        path.write_text(json.dumps(report, indent=2) + "\n")
        _remove(self.file)
        self._lock.close()
        return path

    def close(self, *, keep: bool) -> None:
        """End without a report; *keep* the store to continue later, or remove it."""
        self.store.close()
        if not keep:
            _remove(self.file)
        self._lock.close()


def _locked(file: Path) -> TextIO:
    lock = file.with_suffix(".lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise AlreadyRunning(f"a {file.stem} runs in another process, in {file.parent}") from None
    return lock


def _kept(file: Path) -> dict[str, Any] | None:
    if not file.exists():
        return None
    store = EventStore(file)
    try:
        kept: dict[str, Any] | None = store.fact("run")
        return kept
    finally:
        store.close()


def _remove(file: Path) -> None:
    for path in (file, file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-shm")):
        path.unlink(missing_ok=True)
