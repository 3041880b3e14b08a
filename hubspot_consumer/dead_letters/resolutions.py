"""Resolutions: the outcome of each dead letter, on a compacted topic of their own. The key is the dead letter's id.

The newest record of a key counts. If it can't be read, for example because a newer version wrote it, the dead letter is
open.
"""

import hashlib
import re
from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from hubspot_consumer.dead_letters.corrections import Correction
from schemas.texts import Words
from schemas.times import KeptTime

State = Literal["dead", "mended", "redriven", "discarded"]
"""The state of a dead letter. The words are in the records and in the commands' JSON, so they are a public contract."""
OPEN: Final[frozenset[State]] = frozenset({"dead", "mended"})

# Header with the dead letter's timestamp in ms: a topic that was deleted and created again has the same ids again.
SET_ASIDE_AT: Final = "set_aside_at"
# A dead letter's id: its partition and its offset.
AN_ID: Final = re.compile("[0-9]{1,10}-[0-9]{1,19}")
# Larger than any number of attempts that a worker makes.
_Attempts = Annotated[int, Field(ge=0, le=2**31)]


class _Resolution(BaseModel, frozen=True):
    at: KeptTime
    run: Words = ""


class Redriven(_Resolution):
    """The event was tried again and took effect, with its correction *mend* if it has one."""

    state: Literal["redriven"] = "redriven"
    mend: Correction | None = None


class Discarded(_Resolution):
    """A person decided that the event must not take effect, for the reason in *note*. Its correction is dropped."""

    state: Literal["discarded"] = "discarded"
    note: Words = Field(min_length=1)


class DeadAgain(_Resolution):
    """The event was tried again and refused for this reason: the dead letter stays open."""

    state: Literal["dead"] = "dead"
    reason: Words
    detail: Words
    attempts: _Attempts = 0
    mend: Correction | None = None


class Mended(_Resolution):
    """The event is to be read with the correction *mend*, and tried again. The other fields are the newest refusal."""

    state: Literal["mended"] = "mended"
    mend: Correction
    reason: Words
    detail: Words
    attempts: _Attempts = 0
    failed_at: KeptTime


Resolution = Redriven | Discarded | DeadAgain | Mended
_RESOLUTION: Final[TypeAdapter[Resolution]] = TypeAdapter(Annotated[Resolution, Field(discriminator="state")])


class Standing(NamedTuple):
    """The resolution that counts for a dead letter, and its offset on the topic."""

    offset: int
    resolution: Resolution
    set_aside_at_ms: int | None


class Resolutions:
    """The resolutions that count, in memory. Equal resolutions of many dead letters share one object."""

    def __init__(self) -> None:
        self._standing: dict[str, Standing] = {}
        self._read: dict[bytes, Resolution | None] = {}

    def of(self, letter_id: str, set_aside_at_ms: int) -> Standing | None:
        """Return the resolution of a dead letter, or None; one with the same id but another timestamp is ignored."""
        standing = self._standing.get(letter_id)
        if standing is None or standing.set_aside_at_ms not in (None, set_aside_at_ms):
            return None
        return standing

    def take_in(self, record: Any) -> bool:
        """Process one of aiokafka's records; they must come in order. Return whether it can be read."""
        letter_id = (record.key or b"").decode(errors="replace")
        resolution = self._resolution(record.value or b"")
        if resolution is None:
            self._standing.pop(letter_id, None)
            return not record.value
        if not AN_ID.fullmatch(letter_id):
            return False
        self._standing[letter_id] = Standing(record.offset, resolution, _set_aside_at_ms(record.headers))
        return True

    def _resolution(self, value: bytes) -> Resolution | None:
        # Values are kept by their hash, because a record may have a megabyte.
        name = hashlib.sha256(value).digest()
        if name not in self._read:
            try:
                self._read[name] = _RESOLUTION.validate_json(value)
            except ValidationError:
                self._read[name] = None
        return self._read[name]


def _set_aside_at_ms(headers: Iterable[tuple[str, bytes | None]]) -> int | None:
    found = [value for name, value in headers if name == SET_ASIDE_AT and value]
    return int(found[-1]) if found and found[-1].isdigit() and len(found[-1]) < 19 else None
