"""The history's file: an SQLite file from which the next console takes the charts and marks of the last day.

The file may be deleted at any time. If it can't be written, the console goes on without it.
"""

import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from console.overview.past.history import FINE_FOR_S, KEPT_FOR_S, MINUTE_S, SAMPLE_EVERY_S, Sample
from console.overview.past.marks import Mark
from console.sqlite_files import connected, delete, is_damage, is_still, version_of
from runtime.logs import log

FILE: Final = "overview.sqlite"
# The columns know no figure's name, so that a console with other figures keeps what it finds.
VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE samples (step INTEGER NOT NULL, at INTEGER NOT NULL, figures TEXT NOT NULL, PRIMARY KEY (step, at))
WITHOUT ROWID;
CREATE TABLE marks (key TEXT NOT NULL, began REAL NOT NULL, until REAL NOT NULL, mark TEXT NOT NULL,
PRIMARY KEY (key, began)) WITHOUT ROWID;
CREATE TABLE versions (kind TEXT PRIMARY KEY, versions TEXT NOT NULL) WITHOUT ROWID;
"""
_FIGURES: Final = TypeAdapter(dict[str, float | None])
_MARK: Final = TypeAdapter(Mark)
_VERSIONS: Final = TypeAdapter(tuple[str, ...])


@dataclass(frozen=True)
class Kept:
    """What is kept, or is to be kept: samples of each step, marks, and the versions by who runs them."""

    samples: Sequence[Sample] = ()
    marks: Sequence[Mark] = ()
    versions: Mapping[str, Collection[str]] = field(default_factory=dict)

    def of(self, step: int) -> list[Sample]:
        return [sample for sample in self.samples if sample.step == step]


class HistoryFile:
    """The file in *folder*. One thread at a time may use it. No method raises an error of the file."""

    def __init__(self, folder: Path) -> None:
        self.file: Final = folder / FILE
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._trouble = ""

    def load(self) -> Kept:
        """Return what an earlier console has kept; nothing of a file that can't be read."""
        try:
            connection, _ = self._opened()
            return _read(connection)
        except (sqlite3.Error, OSError) as error:
            self._give_up(error)
            return Kept()

    def save(self, new: Kept, everything: Kept, now: float) -> None:
        """Add what is *new* and delete what is too old. A file that was made anew or replaced gets *everything*."""
        try:
            connection, is_new = self._opened()
            _write(connection, everything if is_new else new, now)
        except (sqlite3.Error, OSError) as error:
            self._give_up(error)
        else:
            self._trouble = ""

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _opened(self) -> tuple[sqlite3.Connection, bool]:
        """Return the open file, and whether it is another one than before. Raises sqlite3.Error and OSError."""
        if self._connection is not None and is_still(self.file, self._inode):
            return self._connection, False
        was_replaced = self._connection is not None
        self.close()
        self._connection = connected(self.file)
        if version_of(self._connection) not in (0, VERSION):
            self.close()
            delete(self.file)
            self._connection = connected(self.file)
        self._inode = self.file.stat().st_ino
        is_new = version_of(self._connection) == 0
        if is_new:
            self._connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {VERSION}; COMMIT")
        return self._connection, is_new or was_replaced

    def _give_up(self, error: Exception) -> None:
        """Close the file, which the next save opens again. A damaged one is deleted, so that it is made anew."""
        with suppress(sqlite3.Error):
            self.close()
        self._connection = None
        trouble = type(error).__name__
        if is_damage(error) or _is_other_schema(error):
            with suppress(OSError):
                delete(self.file)
            log.warning("console.history_made_anew", error=str(error))
        elif trouble != self._trouble:
            # Say it once: the next try comes with the next sample.
            log.warning("console.history_not_kept", error=str(error))
        self._trouble = trouble


def _is_other_schema(error: Exception) -> bool:
    """Return whether the file lacks a table or a column, or has others than it should."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_SCHEMA, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH)


def _read(connection: sqlite3.Connection) -> Kept:
    samples = connection.execute("SELECT at, figures, step FROM samples ORDER BY at").fetchall()
    marks = connection.execute("SELECT mark FROM marks ORDER BY began").fetchall()
    versions = connection.execute("SELECT kind, versions FROM versions").fetchall()
    return Kept(
        [Sample(at, found, step) for at, text, step in samples if (found := _legible(_FIGURES, text)) is not None],
        [found for (text,) in marks if (found := _legible(_MARK, text)) is not None],
        {kind: found for kind, text in versions if (found := _legible(_VERSIONS, text)) is not None},
    )


def _write(connection: sqlite3.Connection, new: Kept, now: float) -> None:
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            "INSERT OR REPLACE INTO samples VALUES (?, ?, ?)",
            [(sample.step, sample.at, json.dumps(sample.figures)) for sample in new.samples],
        )
        connection.executemany(
            "INSERT OR REPLACE INTO marks VALUES (?, ?, ?, ?)",
            [(mark.key, mark.began, mark.until, json.dumps(asdict(mark))) for mark in new.marks],
        )
        connection.executemany(
            "INSERT OR REPLACE INTO versions VALUES (?, ?)",
            [(kind, json.dumps([*versions])) for kind, versions in new.versions.items()],
        )
        for step, kept_for_s in ((SAMPLE_EVERY_S, FINE_FOR_S), (MINUTE_S, KEPT_FOR_S)):
            # A clock that was set back leaves samples of a time to come, which would stay for as long.
            bounds = (step, now - kept_for_s, now)
            connection.execute("DELETE FROM samples WHERE step = ? AND (at < ? OR at > ?)", bounds)
        connection.execute("DELETE FROM marks WHERE until < ?", (now - KEPT_FOR_S,))


def _legible(shape: TypeAdapter[Any], text: Any) -> Any:
    """Return what the *text* of a row says; None if it says something else, as that of another version may."""
    try:
        return shape.validate_json(text)
    except (ValidationError, TypeError):
        return None
