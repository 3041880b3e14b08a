"""A run: one reprocessing from its first record to its report, with files from which it can continue after a stop."""

import fcntl
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TextIO
from uuid import uuid4

from hubspot_consumer.history.store import EventStore


class CannotOpen(ValueError):
    """The run can't be begun or continued; the message gives the reason."""


@dataclass(frozen=True)
class Run:
    """One run's files: its store, and at the end its report. `resumed` is True if an earlier process began the run."""

    file: Path
    store: EventStore
    id: str
    began: datetime
    resumed: bool
    # The lock lasts as long as the file is open: the kernel releases it when the process ends for any reason.
    _lock: TextIO

    @classmethod
    def open(cls, folder: Path, name: str, asked: Mapping[str, Any], now: datetime, *, fresh: bool) -> Self:
        """Continue the run of that name if it has the same options *asked*, or begin one. Raises CannotOpen."""
        file = folder / f"{name}.sqlite"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = _locked(file)
            if fresh:
                _remove(file)
            store = EventStore(file)
        except OSError as error:
            raise CannotOpen(f"--folder: {folder} can't be written: {error.strerror}") from None
        kept = store.fact("run")
        if kept is not None and kept["asked"] != json.loads(json.dumps(asked)):
            store.close()
            lock.close()
            raise CannotOpen(
                f"a {name} of {kept['began']} with {json.dumps(kept['asked'])} is unfinished: run it again with these "
                "options to continue, or pass --fresh to drop it"
            )
        run = kept or {"id": uuid4().hex[:12], "asked": asked, "began": now.isoformat()}
        store.keep(run=run)
        return cls(file, store, run["id"], datetime.fromisoformat(run["began"]), kept is not None, lock)

    def finish(self, report: Mapping[str, Any]) -> Path:
        """Write the report into the store's folder, remove the store, and return the report's path."""
        path = self.file.with_name(f"{self.file.stem}-{self.began.astimezone(UTC):%Y%m%dT%H%M%S}-{self.id}.json")
        path.write_text(json.dumps(report, indent=2) + "\n")
        self.close(keep=False)
        return path

    def close(self, *, keep: bool) -> None:
        """End without a report; *keep* the store to continue later, or remove it."""
        self.store.close()
        if not keep:
            _remove(self.file)
        self._lock.close()


@contextmanager
def temporary_run(name: str) -> Iterator[Run]:
    """Begin a run that can't be continued: its folder is removed at the end of the context."""
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as folder:
        run = Run.open(Path(folder), name, {}, datetime.now(UTC), fresh=False)
        try:
            yield run
        finally:
            run.close(keep=False)


def _locked(file: Path) -> TextIO:
    lock = file.with_suffix(".lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise CannotOpen(f"a {file.stem} runs in another process, in {file.parent}") from None
    return lock


def _remove(file: Path) -> None:
    for path in (file, file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-shm")):
        path.unlink(missing_ok=True)
