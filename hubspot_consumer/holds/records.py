"""The records on the topic of holds, from reprocessing runs and from workers. Their key is the run."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Final, Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from schemas.contacts import LONGEST_EMAIL, ContactKey
from schemas.deliveries import Number

MOST_QUOTA_SHARE: Final = 0.9
"""Largest share of the quota for a run, which a hold from any program can't exceed: the workers need the rest."""
FOR_S: Final = 60.0
"""Seconds for which a hold is in force, unless it is released earlier."""
# Age from which records are not read at the start: longer than runs' holds are in force (FOR_S).
STALE: Final = timedelta(minutes=5)
# The wait before another attempt to read or to write the topic.
TRY_AGAIN_S: Final = 1.0


_Key = Annotated[ContactKey, Field(max_length=LONGEST_EMAIL)]
_Word = Annotated[str, Field(max_length=200)]
# A hold has the contacts of one call to HubSpot, at most a hundred and those that moved to or from them.
MOST_CONTACTS: Final = 1_000
MOST_PARTITIONS: Final = 100_000


class _OfRun(BaseModel, frozen=True):
    run: _Word = Field(min_length=1)


class HoldBegun(_OfRun):
    """The run is about to write *contacts*. It is active for *for_s* seconds, and uses *quota_share* of the quota."""

    kind: Literal["hold"] = "hold"
    number: Number
    command: _Word
    contacts: tuple[_Key, ...] = Field((), max_length=MOST_CONTACTS)
    quota_share: float = Field(ge=0, le=MOST_QUOTA_SHARE, allow_inf_nan=False)
    for_s: float = Field(FOR_S, gt=0, le=600, allow_inf_nan=False)


class HoldAnswered(_OfRun):
    """A worker that is assigned the partitions of these numbers delivers nothing of the hold's contacts any more."""

    kind: Literal["held"] = "held"
    number: Number
    worker: _Word
    partitions: tuple[Number, ...] = Field(max_length=MOST_PARTITIONS)


class Written(BaseModel, frozen=True):
    """The state with which a contact was written; the next of its events to take effect is the one after *sequence*."""

    sequence: Number
    contact_id: _Word | None = None


class Released(_OfRun):
    """The hold is over. *written* are the contacts that certainly were written; the others may have been.

    If it was not *touched*, no call was begun, and none of its contacts has changed.
    """

    kind: Literal["released"] = "released"
    number: Number
    written: Mapping[_Key, Written] = Field({}, max_length=MOST_CONTACTS)
    touched: bool = True


class RunEnded(_OfRun):
    """All of the run's holds are over, and the workers use its share of the quota again."""

    kind: Literal["ended"] = "ended"


HoldRecord = HoldBegun | HoldAnswered | Released | RunEnded
_RECORD: Final[TypeAdapter[HoldRecord]] = TypeAdapter(Annotated[HoldRecord, Field(discriminator="kind")])


def read_hold_record(value: bytes | None) -> HoldRecord | None:
    """Return the parsed record, or None for a value that this version can't read."""
    try:
        return _RECORD.validate_json(value or b"")
    except ValidationError:
        return None


def encoded(record: HoldRecord) -> tuple[bytes, bytes]:
    """Return the key and the value of a record."""
    return record.run.encode(), record.model_dump_json().encode()
