"""The envelope: an event with its id, its sequence among its contact's events, and that contact's totals.

On Kafka it is the record's value, exactly as PostgreSQL prints the `jsonb`. The headers repeat the fields that a reader
needs without parsing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import starmap
from typing import Annotated, Any, Final, Literal, Self, Union
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    create_model,
    model_validator,
)
from pydantic_core import ErrorDetails

from schemas.contacts import contact_key
from schemas.events import EVENTS, Event, LifecycleEvent
from schemas.times import AS_WRITTEN

# The largest value of PostgreSQL's and SQLite's integers.
LARGEST: Final = 2**63 - 1
# HubSpot takes no longer text. The outbox takes 255 characters, but took more before it had a limit.
LONGEST_EXTERNAL_ID: Final = 65_536
# The version of UUIDs that begin with 48 bits of milliseconds since 1970. The outbox creates these.
_OF_TIME: Final = 7
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Unreadable = Literal[
    "missing_key", "invalid_envelope", "unknown_event_type", "unsupported_schema_version", "key_mismatch"
]
"""Why a record is no envelope. Dead letters have it as their reason, so the words are a public contract."""


def _short_enough(external_id: str) -> str:
    # The limit is not in the published schema, whose readers were promised none.
    if len(external_id) > LONGEST_EXTERNAL_ID:
        raise ValueError(f"should have at most {LONGEST_EXTERNAL_ID} characters")
    return external_id


class Contact(BaseModel):
    """Whom the event is about."""

    model_config = ConfigDict(frozen=True)
    email: str = Field(
        description="The contact key: trimmed, lower-cased, Unicode NFC. It is the record's key too",
        examples=["ada@example.com"],
    )
    external_id: Annotated[str, AfterValidator(_short_enough)] | None = Field(
        None, description="The `user_id` that was seen with this email, if any was", examples=["usr_42"]
    )


class Totals(BaseModel):
    """The contact's running sums after this event, in cents. They are absolute: applying the last alone is right."""

    model_config = ConfigDict(frozen=True)
    nova_earned_cents: int = Field(0, description="The sum of all nova_earned", examples=[4500])
    nova_redeemed_cents: int = Field(0, description="The sum of all nova_redeemed", examples=[1000])


class Envelope(BaseModel):
    """One lifecycle event on its way. `sequence` counts a contact's events 1, 2, 3… with no hole."""

    model_config = ConfigDict(frozen=True)
    id: UUID = Field(
        description="The event's own id: the same event may come again, with the same id",
        examples=["019ab3f0-8a40-7c11-9d2e-5b6c7d8e9f01"],
    )
    type: str = Field(description="What happened; the topic is named after it")
    schema_version: Literal[1] = Field(description="It rises with a change that a reader of older records trips over")
    sequence: Annotated[int, Field(strict=True, ge=1, le=LARGEST)] = Field(
        description="The contact's own count of its events, over all topics: apply them in this order", examples=[12]
    )
    occurred_at: AwareDatetime = Field(
        description="When it happened; not what to order by", examples=["2026-11-24T03:00:00.123456Z"]
    )
    contact: Contact
    totals: Totals
    payload: LifecycleEvent

    @property
    def tracked_at(self) -> datetime | None:
        """The time at which the event was tracked, by its id; None for an id without a time."""
        return time_of(self.id)


class _AnyEnvelope(Envelope):
    """An envelope of any type, for records that no model of one type takes: it is slower, and names every fault."""

    @model_validator(mode="before")
    @classmethod
    def _tell_the_payload_its_type(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("payload"), dict):
            return {**data, "payload": {**data["payload"], "type": data.get("type")}}
        return data


def _envelope_of(event_type: str, payload: type[Event]) -> Any:
    kind: Any = Literal[event_type]
    return create_model(f"{payload.__name__}Envelope", __base__=Envelope, type=(kind, ...), payload=(payload, ...))


_of_each_type: Any = Union[*starmap(_envelope_of, EVENTS.items())]
_ENVELOPES: Final = TypeAdapter[Envelope](Annotated[_of_each_type, Field(discriminator="type")]).validator


def time_of(event_id: UUID) -> datetime | None:
    """Return the time in an id of version 7, at which the event was tracked; None for other ids."""
    if event_id.version != _OF_TIME:
        return None
    try:
        return _EPOCH + timedelta(milliseconds=event_id.int >> 80)
    except OverflowError:
        # An invented id may have a time outside of datetime's range.
        return None


class UnreadableRecord(ValueError):
    """The record is no envelope. `reason` is one of the closed set, `detail` names the field and quotes no value."""

    def __init__(self, reason: Unreadable, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason: Final = reason
        self.detail: Final = detail


def read_envelope(key: bytes | None, value: bytes | None) -> Envelope:
    """Return the envelope of a record. Raises UnreadableRecord, and nothing else, for any bytes.

    Unknown fields are ignored, so that a writer may be newer than its readers. A time without an equivalent in UTC is
    accepted as written: only code that needs UTC has to handle it.
    """
    if not key:
        raise UnreadableRecord("missing_key", "the record has no key; it should be the contact key")
    try:
        envelope: Envelope = _ENVELOPES.validate_json(value or b"", extra="ignore", context=AS_WRITTEN)
    except ValidationError:
        envelope = _read_slowly(value or b"")
    try:
        expected = contact_key(envelope.contact.email)
    except ValueError as error:
        raise UnreadableRecord("invalid_envelope", f"contact.email: {error}") from None
    if key != expected.encode():
        raise UnreadableRecord("key_mismatch", "the record's key is not the contact key of contact.email")
    return envelope


def _read_slowly(value: bytes) -> Envelope:
    """Return the envelope in a value that no model of a type takes. Raises UnreadableRecord with the value's faults."""
    try:
        return _AnyEnvelope.model_validate_json(value, extra="ignore", context=AS_WRITTEN)
    except ValidationError as error:
        raise UnreadableRecord(_reason(error), "; ".join(faults_of(error))) from None


def faults_of(error: ValidationError) -> list[str]:
    """Return `field: what is wrong` for each invalid field, without the values, which may be personal data."""
    details = error.errors(include_url=False, include_context=False, include_input=False)
    return [f"{_path(detail['loc'])}: {_fault(detail)}" for detail in details]


def _fault(detail: ErrorDetails) -> str:
    # pydantic's message for this error quotes the value.
    return "no such event type" if detail["type"] == "union_tag_invalid" else detail["msg"]


def _path(location: tuple[int | str, ...]) -> str:
    # A union's location contains the discriminator as if it were a field.
    return ".".join(str(part) for part in location if part not in EVENTS) or "value"


def _reason(error: ValidationError) -> Unreadable:
    faults = {(detail["loc"], detail["type"]) for detail in error.errors(include_url=False, include_context=False)}
    if any(location == ("schema_version",) and kind != "missing" for location, kind in faults):
        return "unsupported_schema_version"
    if (("payload",), "union_tag_invalid") in faults:
        return "unknown_event_type"
    return "invalid_envelope"


@dataclass(frozen=True)
class Headers:
    """The record's headers: `id` and `type`, and the optional `sequence` and `traceparent`."""

    id: str
    type: str
    sequence: int | None = None
    traceparent: str | None = None

    def encode(self) -> list[tuple[str, bytes]]:
        # The fields have the names of the headers, in their order.
        return [(name, str(value).encode()) for name, value in vars(self).items() if value is not None]

    @classmethod
    def decode(cls, headers: Iterable[tuple[str, bytes | None]]) -> Self:
        """Return the readable headers; an absent one, or one without a value, is empty. Never raises."""
        given = list(headers)
        text: Mapping[str, str] = {name: (value or b"").decode(errors="replace") for name, value in given}
        return cls(
            id=text.get("id", ""),
            type=text.get("type", ""),
            sequence=sequence_in(given),
            traceparent=text.get("traceparent") or None,
        )


def sequence_in(headers: Iterable[tuple[str, bytes | None]]) -> int | None:
    """Return the sequence that a record's headers name; None without one that PostgreSQL's bigint can hold.

    It is that of `Headers`, for readers of millions of records that need no other header.
    """
    text = b""
    for name, value in headers:
        if name == "sequence":
            text = value or b""
    # int() raises for thousands of digits, and accepts more than digits.
    sequence = int(text) if len(text) < 20 and text.isdigit() else None
    return sequence if sequence is not None and sequence <= LARGEST else None
