"""The mend: what of a dead letter's payload is read otherwise than it was written, so that it can take effect.

It is part of resolutions, which are kept for ever and from which nobody can be taken out: so it names no person.
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
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from schemas.contacts import without_emails
from schemas.envelope import UnreadableRecord, read_envelope
from schemas.events import EVENTS, Event
from schemas.texts import Words

# What names a person. Such a value can be taken away by a mend, and never be put in.
PERSONAL: Final = frozenset({"email", "previous_email", "name", "phone"})
LONGEST: Final = 255


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
Value = _Text | Annotated[int, Field(strict=True)] | Annotated[bool, Field(strict=True)]


class Changes(BaseModel):
    """Fields of a payload: what each is to be, and which are to be left out."""

    model_config = ConfigDict(frozen=True)

    values: dict[_Own, Value] = Field(default_factory=dict)
    unset: tuple[_Field, ...] = ()

    @model_validator(mode="after")
    def _are_some(self) -> "Changes":
        if not (self.values or self.unset):
            raise ValueError("a mend changes something")
        if both := sorted(self.values.keys() & set(self.unset)):
            raise ValueError(f"set and unset at once: {', '.join(both)}")
        return self


class Correction(Changes):
    """Changes, and why somebody made them."""

    note: Words = Field(min_length=1)


def mended(value: bytes, changes: Changes | None) -> bytes:
    """Return a record's value as it is read with *changes*. What has no payload stays as it is. Never raises."""
    document = document_of(value) if changes is not None else None
    if changes is None or document is None:
        return value
    payload = {name: each for name, each in document["payload"].items() if name not in changes.unset}
    return json.dumps({**document, "payload": {**payload, **changes.values}}).encode()


def document_of(value: bytes) -> dict[str, Any] | None:
    """Return the JSON of an event that has a payload; None for everything else."""
    try:
        document = json.loads(value)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) and isinstance(document.get("payload"), dict) else None


PREFIX: Final = "payload."
# How like two names have to be for one to be the other, misspelled.
_ALIKE: Final = 0.75


class NotCorrectable(ValueError):
    """The changes are none that this event can have; the message says why."""


def faults(key: bytes | None, value: bytes) -> list[str]:
    """Return `field: what is wrong` of each field for which the record can't be read; none where it can be."""
    try:
        read_envelope(key, value)
    except UnreadableRecord as error:
        return error.detail.split("; ")
    return []


def fields_of(value: bytes) -> list[str]:
    """Return the fields that the payload of an event of its type may have; none where the type is not known."""
    model = _model(document_of(value) or {})
    return [name for name in model.model_fields if name != "type"] if model else []


def suggested_changes(value: bytes) -> Changes | None:
    """Return what would make a payload right, as far as the event itself tells; None where it tells nothing.

    A name that was misspelled becomes the right one; a time that is missing becomes the time when the event occurred.
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
        # Nothing is told, or what is may not be kept.
        return None


def changes_of(value: bytes, said: Mapping[str, str], unset: tuple[str, ...]) -> Changes:
    """Return the changes that somebody typed, each value of its field's type. Raises CanNotBeMended."""
    model = _model(document_of(value) or {})
    if model is None:
        raise NotCorrectable("its value has no payload of a type that this version knows")
    known = [name for name in model.model_fields if name != "type"]
    if unknown := [name for name in said if name not in known]:
        raise NotCorrectable(f"it has no field {', '.join(unknown)}; there are {', '.join(known)}")
    if personal := [name for name in said if name in PERSONAL]:
        raise NotCorrectable(
            f"{', '.join(personal)} names a person, and corrections are kept for ever: "
            "track the event again, then discard this one"
        )
    try:
        return Changes(values={name: _as_typed(model, name, text) for name, text in said.items()}, unset=unset)
    except ValidationError as error:
        raise NotCorrectable(error.errors()[0]["msg"].removeprefix("Value error, ")) from None


def _as_typed(model: type[Event], name: str, text: str) -> Value:
    if _fits(model, name, text):
        return text
    try:
        said = json.loads(text)
        _field(model, name).validate_json(text)
    except ValidationError as error:
        raise NotCorrectable(f"{PREFIX}{name}: {error.errors()[0]['msg']}") from None
    except ValueError:
        raise NotCorrectable(f"{PREFIX}{name}: {_fault(model, name, text)}") from None
    if not isinstance(said, str | int):
        raise NotCorrectable(f"{PREFIX}{name}: leave it out instead: --unset {PREFIX}{name}")
    return said


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
