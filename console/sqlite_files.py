"""SQLite files of the console's own, in its folder: only their owner reads them, and a damaged one is made anew."""

import sqlite3
from pathlib import Path
from typing import Final

_WAIT_S: Final = 5.0


def connected(file: Path, *settings: str) -> sqlite3.Connection:
    """Return a connection with these pragmas; the file is created if there is none. Raises OSError and sqlite3.Error.

    Any thread may use it, one at a time.
    """
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # SQLite creates the files beside it with the same permissions.
    file.touch(0o600)
    file.chmod(0o600)
    connection = sqlite3.connect(file, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
    # With synchronous = NORMAL, a power loss drops whole transactions.
    try:
        for setting in ("journal_mode = WAL", "synchronous = NORMAL", *settings):
            connection.execute(f"PRAGMA {setting}")
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return connection


def is_still(file: Path, inode: int) -> bool:
    """Return whether the file that was opened as *inode* still exists at its path: it may be deleted or replaced."""
    try:
        return file.stat().st_ino == inode
    except OSError:
        return False


def version_of(connection: sqlite3.Connection) -> int:
    """Return the version of the schema, 0 in a new file."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def delete(file: Path) -> None:
    """Delete the file, and those that SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        Path(f"{file}{suffix}").unlink(missing_ok=True)


def is_damage(error: Exception) -> bool:
    """Return whether *error* means a damaged file, and not one that can't be used for the moment."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
