"""The records on the topic of holds: what a reprocessing run and the workers tell each other. Their key is the run."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from schemas.contacts import LONGEST_EMAIL, ContactKey

MOST_QUOTA_SHARE: Final = 0.9
"""Of the quota, for a run: what is left keeps the workers going, whoever writes a hold."""
FOR_S: Final = 60.0
"""How long a hold is in force, unless it is released before."""


_Number = Annotated[int, Field(ge=0, le=2**63 - 1)]
_Key = Annotated[ContactKey, Field(max_length=LONGEST_EMAIL)]
_Word = Annotated[str, Field(max_length=200)]


class _OfRun(BaseModel):
    model_config = ConfigDict(frozen=True)

    run: _Word = Field(min_length=1)


class HoldBegun(_OfRun):
    """The run is about to write *contacts*. It is active for *for_s* seconds, and takes that share of the quota."""

    kind: Literal["hold"] = "hold"
    number: _Number
    command: _Word
    contacts: tuple[_Key, ...] = ()
    quota_share: float = Field(ge=0, le=MOST_QUOTA_SHARE, allow_inf_nan=False)
    for_s: float = Field(FOR_S, gt=0, le=600, allow_inf_nan=False)


class Held(_OfRun):
    """A worker that holds the partitions of these numbers takes nothing of the hold's contacts any more."""

    kind: Literal["held"] = "held"
    number: _Number
    worker: _Word
    partitions: tuple[int, ...]


class Written(BaseModel):
    """What a contact was written with; the next of its events that takes effect is the one after *sequence*."""

    model_config = ConfigDict(frozen=True)

    sequence: _Number
    contact_id: _Word | None = None


class Released(_OfRun):
    """The hold is over: *written* are those of its contacts that surely were written; the others may have been.

    Unless it was not *touched*: then no call was begun, and all of them are as they were.
    """

    kind: Literal["released"] = "released"
    number: _Number
    written: Mapping[_Key, Written] = {}
    touched: bool = True


class RunEnded(_OfRun):
    """All of the run's holds are over, and its share of the quota is given back."""

    kind: Literal["ended"] = "ended"


HoldRecord = HoldBegun | Held | Released | RunEnded
_RECORD: Final[TypeAdapter[HoldRecord]] = TypeAdapter(Annotated[HoldRecord, Field(discriminator="kind")])


def read_hold_record(value: bytes | None) -> HoldRecord | None:
    """Return what a record says, or None where that is nothing that is known here."""
    try:
        return _RECORD.validate_json(value or b"")
    except ValidationError:
        return None


def encoded(record: HoldRecord) -> tuple[bytes, bytes]:
    """Return the key and the value of a record."""
    return record.run.encode(), record.model_dump_json().encode()
