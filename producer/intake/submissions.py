"""Submissions: a caller's events, checked before any access to the database."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from producer.intake.problems import MOST_FAULTS, Fault, Problem, refuse_faulty
from producer.tracking import MOST_FIELDS, InvalidEvent, checked, is_traceparent
from schemas.envelope import faults_of
from schemas.events import EVENT_TYPES
from schemas.times import in_utc

LARGEST_BATCH: Final = 500


def _a_traceparent(text: str) -> str:
    if not is_traceparent(text):
        raise ValueError("should be a traceparent as W3C has it")
    return text


OccurredAt = Annotated[AwareDatetime, AfterValidator(in_utc)]
Key = Annotated[str, Field(strict=True, min_length=1, max_length=255, pattern=r"^[ -~]*$")]
_OCCURRED_AT: Final[TypeAdapter[datetime]] = TypeAdapter(OccurredAt)


class Item(BaseModel):
    """One event of a batch."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str = Field(strict=True)
    payload: Any
    occurred_at: OccurredAt | None = None
    traceparent: Annotated[str, AfterValidator(_a_traceparent)] | None = None
    idempotency_key: Key | None = None


@dataclass(frozen=True)
class Submission:
    """A valid event, which can be tracked."""

    event_type: str
    payload: dict[str, Any]
    occurred_at: datetime | None
    traceparent: str | None
    key: str | None

    @property
    def fingerprint(self) -> bytes:
        """The digest that must be equal when the key is sent again. It does not contain the trace, which differs in a
        retry.
        """
        occurred_at = self.occurred_at.isoformat() if self.occurred_at else None
        return _digest([self.event_type, self.payload, occurred_at])


def fingerprint(submissions: Sequence[Submission]) -> bytes:
    """Return the digest that must be equal when the key of a whole batch is sent again."""
    return _digest([(submission.key, submission.fingerprint.hex()) for submission in submissions])


def one(
    event_type: str, payload: Any, *, occurred_at: str | None, traceparent: str | None, key: str
) -> list[Submission]:
    """Return the event of a request whose body is the payload. Raises Problem, which names each invalid field."""
    faults: list[Fault] = []
    time = None
    try:
        time = _OCCURRED_AT.validate_python(occurred_at) if occurred_at is not None else None
    except ValidationError as error:
        faults = [Fault("Occurred-At", error.errors(include_url=False)[0]["msg"])]
    try:
        submission = Submission(event_type, _payload(event_type, payload), time, _readable(traceparent), key)
    except InvalidEvent as error:
        faults += _faults_of(error, event_type, within="", index=None)
    refuse_faulty("invalid_event", faults)
    return [submission]


def batch(body: Any, *, traceparent: str | None) -> list[Submission]:
    """Return the events of a batch. One without a trace gets the request's. Raises Problem, which names each invalid
    field.
    """
    if not isinstance(body, list) or not 0 < len(body) <= LARGEST_BATCH:
        raise Problem("invalid_event", f"the body should be a list of 1 to {LARGEST_BATCH} events")
    trace = _readable(traceparent)
    read, faults = list[Submission](), list[Fault]()
    for index, item in enumerate(body):
        found = _submission(item, index, trace)
        if isinstance(found, Submission):
            read.append(found)
        elif len(faults := [*faults, *found]) > MOST_FAULTS:
            # No more are shown.
            break
    refuse_faulty("invalid_event", faults)
    return read


def _submission(found: Any, index: int, trace: str | None) -> Submission | list[Fault]:
    if isinstance(found, dict) and len(found) > MOST_FIELDS:
        return [Fault("body", f"the event has more than {MOST_FIELDS} fields", index)]
    try:
        item = Item.model_validate(found)
        if item.type not in EVENT_TYPES:
            return [Fault("type", f"no such event type; there are {', '.join(EVENT_TYPES)}", index)]
        payload = _payload(item.type, item.payload)
    except ValidationError as error:
        return [Fault.read(line, index=index) for line in faults_of(error)]
    except InvalidEvent as error:
        return _faults_of(error, item.type, within="payload", index=index)
    return Submission(item.type, payload, item.occurred_at, item.traceparent or trace, item.idempotency_key)


def _readable(traceparent: str | None) -> str | None:
    # W3C allows dropping a header that can't be read.
    return traceparent if is_traceparent(traceparent) else None


def _payload(event_type: str, payload: Any) -> dict[str, Any]:
    if not isinstance(payload, dict):
        raise InvalidEvent(f"{event_type}: the payload should be an object")
    return checked(event_type, payload)


def _faults_of(error: InvalidEvent, event_type: str, *, within: str, index: int | None) -> list[Fault]:
    lines = [fault.removeprefix(event_type).removeprefix(".") for fault in error.faults]
    return [Fault.read(line, within=within, index=index) for line in lines]


def _digest(parts: Any) -> bytes:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).digest()
