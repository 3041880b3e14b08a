"""Corrections: changes with which the payload of a dead letter is read, so that the event can take effect.

A correction is part of a resolution. Resolutions are kept for ever, and no person can be removed from them, so a
correction names no person.
"""

import json
from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from schemas.contacts import without_emails
from schemas.envelope import LARGEST, UnreadableRecord, read_envelope
from schemas.events import EVENTS, Event
from schemas.texts import Words

# Fields that name a person. A correction can remove such a field, but not set it.
PERSONAL: Final = frozenset({"email", "previous_email", "name", "phone"})
LONGEST: Final = 255
# No payload has as many. A correction of more would not fit the resolution's record.
MOST_FIELDS: Final = 50


def _names_nobody(text: str) -> str:
    if without_emails(text) != text:
        raise ValueError("an email can't be kept with a correction, which is kept for ever")
    return text


def _is_not_personal(name: str) -> str:
    if name in PERSONAL:
        raise ValueError("what names a person can't be kept with a correction, which is kept for ever")
    return name


_Field = Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(_names_nobody)]
_Own = Annotated[_Field, AfterValidator(_is_not_personal)]
_Text = Annotated[str, StringConstraints(strict=True, max_length=LONGEST), AfterValidator(_names_nobody)]
Value = _Text | Annotated[int, Field(strict=True, ge=-LARGEST, le=LARGEST)] | Annotated[bool, Field(strict=True)]


class Changes(BaseModel, frozen=True):
    """Changes of a payload: the new values of fields, and the fields to remove."""

    values: dict[_Own, Value] = Field(default_factory=dict, max_length=MOST_FIELDS)
    unset: tuple[_Field, ...] = Field((), max_length=MOST_FIELDS)

    @model_validator(mode="after")
    def _are_some(self) -> "Changes":
        if not (self.values or self.unset):
            raise ValueError("a mend changes something")
        if both := sorted(self.values.keys() & set(self.unset)):
            raise ValueError(f"set and unset at once: {', '.join(both)}")
        return self


class Correction(Changes):
    """Changes, and the reason why a person made them."""

    note: Words = Field(min_length=1)


def mended(value: bytes, changes: Changes | None) -> bytes:
    """Return a record's value with *changes* applied; a value without a payload is returned unchanged. Never raises."""
    document = document_of(value) if changes is not None else None
    if changes is None or document is None:
        return value
    payload = {name: each for name, each in document["payload"].items() if name not in changes.unset}
    return json.dumps({**document, "payload": {**payload, **changes.values}}).encode()


def document_of(value: bytes) -> dict[str, Any] | None:
    """Return the parsed JSON of an event with a payload; None for everything else."""
    try:
        document = json.loads(value)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) and isinstance(document.get("payload"), dict) else None


PREFIX: Final = "payload."
# Similarity, from 0 to 1, from which a name counts as a misspelling of another.
_ALIKE: Final = 0.75


class NotCorrectable(ValueError):
    """The changes can't be applied to this event; the message gives the reason."""


def faults(key: bytes | None, value: bytes) -> list[str]:
    """Return a `field: fault` line for each field that keeps the record from being read; none if it can be read."""
    try:
        read_envelope(key, value)
    except UnreadableRecord as error:
        return error.detail.split("; ")
    return []


def fields_of(value: bytes) -> list[str]:
    """Return the fields that the payload of this event type may have; none for an unknown type."""
    model = _model(document_of(value) or {})
    return [name for name in model.model_fields if name != "type"] if model else []


def suggested_changes(value: bytes) -> Changes | None:
    """Return changes that repair a payload with values of the event itself; None if there are none.

    A misspelled field gets its right name. A missing time gets the time when the event occurred.
    """
    document = document_of(value) or {}
    model = _model(document)
    if model is None:
        return None
    payload, values, unset = document["payload"], dict[str, Value](), list[str]()
    strangers = [name for name in payload if name not in model.model_fields]
    for name, info in model.model_fields.items():
        if name in PERSONAL or not info.is_required() or (name in payload and _fits(model, name, payload[name])):
            continue
        alike = get_close_matches(name, strangers, cutoff=_ALIKE)
        if spelled := next((one for one in alike if _fits(model, name, payload[one])), None):
            values[name] = payload[spelled]
            unset.append(spelled)
        elif info.annotation is AwareDatetime and _fits(model, name, document.get("occurred_at")):
            values[name] = document["occurred_at"]
    try:
        return Changes(values=values, unset=tuple(unset))
    except ValidationError:
        # There are no changes, or the values may not be stored in a correction.
        return None


def changes_of(value: bytes, typed: Mapping[str, str], unset: tuple[str, ...]) -> Changes:
    """Return the changes that a person typed, each value converted to its field's type. Raises NotCorrectable."""
    model = _model(document_of(value) or {})
    if model is None:
        raise NotCorrectable("its value has no payload of a type that this version knows")
    known = fields_of(value)
    if unknown := [name for name in typed if name not in known]:
        raise NotCorrectable(f"it has no field {', '.join(unknown)}; there are {', '.join(known)}")
    if personal := [name for name in typed if name in PERSONAL]:
        raise NotCorrectable(
            f"{', '.join(personal)} names a person, and corrections are kept for ever: "
            "track the event again, then discard this one"
        )
    try:
        return Changes(values={name: _as_typed(model, name, text) for name, text in typed.items()}, unset=unset)
    except ValidationError as error:
        raise NotCorrectable(error.errors()[0]["msg"].removeprefix("Value error, ")) from None


def _as_typed(model: type[Event], name: str, text: str) -> Value:
    if _fits(model, name, text):
        return text
    try:
        value = json.loads(text)
        _field(model, name).validate_json(text)
    except ValidationError as error:
        raise NotCorrectable(f"{PREFIX}{name}: {error.errors()[0]['msg']}") from None
    except ValueError:
        raise NotCorrectable(f"{PREFIX}{name}: {_fault(model, name, text)}") from None
    if not isinstance(value, str | int):
        raise NotCorrectable(f"{PREFIX}{name}: leave it out instead: --unset {PREFIX}{name}")
    return value


def _fits(model: type[Event], name: str, value: Any) -> bool:
    return not _fault(model, name, value)


def _fault(model: type[Event], name: str, value: Any) -> str:
    try:
        _field(model, name).validate_json(json.dumps(value))
    except ValidationError as error:
        return error.errors()[0]["msg"]
    return ""


@lru_cache
def _field(model: type[Event], name: str) -> TypeAdapter[Any]:
    info = model.model_fields[name]
    as_annotated: Any = Annotated[info.annotation, info]
    return TypeAdapter(as_annotated)


def _model(document: Mapping[str, Any]) -> type[Event] | None:
    event_type = document.get("type")
    return EVENTS.get(event_type) if isinstance(event_type, str) else None
