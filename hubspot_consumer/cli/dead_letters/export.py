"""The export of dead letters: a JSON line for each record, with its key, value and headers unchanged."""

import base64
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

from hubspot_consumer.cli.exit_codes import NotDone
from hubspot_consumer.dead_letters.dead_letter import Letter, SetAside
from runtime.commands import refuse

STANDARD_OUTPUT: Final = Path("-")


def line(letter: Letter, set_aside: SetAside, record: Any) -> bytes:
    """Return the line of one record; `ids` are those of all records of its event."""
    fields = {
        "id": set_aside.id,
        "ids": letter.ids,
        "event_id": set_aside.event_id,
        "type": set_aside.event_type,
        "sequence": set_aside.sequence,
        "reason": set_aside.reason,
        "detail": set_aside.detail,
        "topic": set_aside.topic,
        "partition": set_aside.topic_partition,
        "offset": set_aside.topic_offset,
        "attempts": set_aside.attempts,
        "failed_at": set_aside.failed_at.isoformat(),
        "timestamp_ms": set_aside.at_ms,
        "state": letter.state,
        "resolution": letter.resolution.model_dump(mode="json") if letter.resolution is not None else None,
        **_encoded("key", record.key),
        "headers": [{"name": name, **_encoded("value", value)} for name, value in record.headers],
        **_encoded("value", record.value),
    }
    return json.dumps(fields).encode() + b"\n"


class Exported:
    """The output of an export, open during the context. A new file appears under its name only when it is complete.

    Exits with 2 if the file exists and *force* is False. Raises NotDone if the file can't be written.
    """

    def __init__(self, file: Path, *, force: bool) -> None:
        if file != STANDARD_OUTPUT and file.exists() and not force:
            refuse(f"FILE: {file} exists: say --force to write over it")
        self._file: Final = file
        # A path that is no regular file, such as a pipe, is written directly: a rename would replace it.
        self._in_place: Final = file.exists() and not file.is_file()
        self._part: Final = file if self._in_place else file.with_name(f".{file.name}.{os.getpid()}")
        self._opened: BinaryIO = sys.stdout.buffer

    def __enter__(self) -> Self:
        if self._file != STANDARD_OUTPUT:
            with self._named():
                # Only the owner may read the file, because it holds emails.
                number = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                self._opened = os.fdopen(number, "wb")
        return self

    def write(self, text: bytes) -> None:
        with self._named():
            self._opened.write(text)

    def __exit__(self, fault: type[BaseException] | None, *_: object) -> None:
        with self._named():
            if self._file == STANDARD_OUTPUT:
                self._opened.flush()
                return
            try:
                self._opened.close()
                if fault is None and not self._in_place:
                    self._part.replace(self._file)
            finally:
                if not self._in_place:
                    self._part.unlink(missing_ok=True)

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            raise NotDone(f"FILE: {self._file} can't be written: {error.strerror}") from None


def _encoded(name: str, value: bytes | None) -> dict[str, str | None]:
    if value is None:
        return {name: None}
    try:
        return {name: value.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(value).decode()}
