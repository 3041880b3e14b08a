"""The mend: what of a dead letter's payload is read otherwise than it was written, so that it can take effect.

It is part of resolutions, which are kept for ever and from which nobody can be taken out: so it names no person.
"""

import json
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from schemas.contacts import without_emails
from schemas.texts import Words

# What names a person. Such a value can be taken away by a mend, and never be put in.
PERSONAL: Final = frozenset({"email", "previous_email", "name", "phone"})
LONGEST: Final = 255


def _names_nobody(text: str) -> str:
    if without_emails(text) != text:
        raise ValueError("an email can't be kept with a mend, which is kept for ever")
    return text


def _is_not_personal(name: str) -> str:
    if name in PERSONAL:
        raise ValueError("what names a person can't be kept with a mend, which is kept for ever")
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


class Mend(Changes):
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
