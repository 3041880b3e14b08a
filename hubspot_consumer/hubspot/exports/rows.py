"""The rows of an exported file: a CSV, or a zip of one or more. It is read row by row, in a bounded amount of memory.

HubSpot packs a file of over 2 MB, and writes a file for each million rows.
"""

import csv
import zipfile
import zlib
from collections.abc import Iterator
from io import TextIOWrapper
from typing import IO, Final

from hubspot_consumer.hubspot.requests import RemoteContact

LARGEST_DECODED: Final = 32 * 1024**3
# In characters. A value has at most 65,536 of them, and only a few are so long.
LONGEST_ROW: Final = 1024 * 1024
_ZIP: Final = b"PK\x03\x04"
_ID: Final = "Record ID"
# What the readers of CSV, of zip and of UTF-8 raise.
_UNREADABLE: Final = (csv.Error, zipfile.BadZipFile, zlib.error, ValueError, EOFError, RuntimeError)


class ExportUnreadable(Exception):
    """An exported file that can't be loaded or read. The message says why."""


def exported_contacts(file: IO[bytes]) -> Iterator[RemoteContact]:
    """Yield the contacts of an exported file, each with those of its properties that have a value.

    Raises ExportUnreadable.
    """
    try:
        for part in _parts(file):
            yield from _contacts(part)
    except _UNREADABLE as error:
        raise ExportUnreadable(f"the file can't be read: {type(error).__name__}") from None


def _parts(file: IO[bytes]) -> Iterator[IO[bytes]]:
    start = file.read(len(_ZIP))
    file.seek(0)
    if start != _ZIP:
        yield file
        return
    with zipfile.ZipFile(file) as archive:
        # No part decodes to more than its entry in the archive's directory says.
        if sum(entry.file_size for entry in archive.infolist()) > LARGEST_DECODED:
            raise ExportUnreadable(f"the file decodes to over {LARGEST_DECODED} bytes")
        for entry in archive.infolist():
            if entry.filename.endswith(".csv"):
                with archive.open(entry) as part:
                    yield part


def _contacts(part: IO[bytes]) -> Iterator[RemoteContact]:
    text = TextIOWrapper(part, "utf-8-sig", newline="")
    lines = _Lines(text)
    try:
        rows = csv.reader(lines, strict=True)
        names = next(rows, [])
        if "email" not in names:
            raise ExportUnreadable("the file has no column `email`")
        for row in rows:
            lines.of_row = 0
            properties = {name: value for name, value in zip(names, row, strict=False) if value}
            yield RemoteContact(properties.get(_ID, ""), properties)
    finally:
        # Without this, the end of the wrapper would close the file.
        text.detach()


class _Lines:
    """The lines of a text. A row of several lines is bounded as a whole: its reader sets `of_row` to 0 after each."""

    def __init__(self, text: TextIOWrapper) -> None:
        self._text: Final = text
        self.of_row = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._text.readline(LONGEST_ROW + 1)
        self.of_row += len(line)
        if self.of_row > LONGEST_ROW:
            raise ExportUnreadable(f"a row of the file has over {LONGEST_ROW} characters")
        if not line:
            raise StopIteration
        return line
