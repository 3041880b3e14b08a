"""The correction form: the fields of a dead letter's payload, their faults, and the command options of the answers."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hubspot_consumer.dead_letters.corrections import (
    PERSONAL,
    PREFIX,
    document_of,
    faults,
    fields_of,
    suggested_changes,
)
from hubspot_consumer.dead_letters.dead_letter import Letter
from schemas.texts import encodable

FIELD: Final = "field."
OUT: Final = "leave_out"


@dataclass(frozen=True)
class Field:
    """One field. *text* is the proposed value, *was* the record's, and *wrong* the fault that makes it unreadable."""

    name: str
    text: str
    was: str | None
    wrong: str
    personal: bool
    suggested: bool


@dataclass(frozen=True)
class CorrectionForm:
    """The form of a dead letter.

    *strangers* are fields that the event's type does not have: name, value, and whether removing it is proposed.
    """

    fields: Sequence[Field]
    strangers: Sequence[tuple[str, str, bool]]
    faults: Sequence[str]
    note: str

    def arguments(self, answers: Mapping[str, Any], left_out: Sequence[str]) -> list[str]:
        """Return the command's options for the *answers* that differ from the record, and the fields to unset."""
        options = []
        for field in self.fields:
            answer = str(answers.get(FIELD + field.name, field.was or "")).strip()
            if answer and answer != field.was and not field.personal:
                options.append(f"--set={PREFIX}{field.name}={answer}")
            elif not answer and field.was is not None:
                options.append(f"--unset={PREFIX}{field.name}")
        known = {name for name, _, _ in self.strangers} | {field.name for field in self.fields if field.personal}
        return [*options, *(f"--unset={PREFIX}{name}" for name in left_out if name in known)]


def mending_form(letter: Letter, value: bytes) -> CorrectionForm | None:
    """Return the form of a dead letter, filled with its correction or, if it has none, with the suggested changes.

    Return None if this version does not know the fields of the event.
    """
    document = document_of(value)
    payload: Mapping[str, Any] = document["payload"] if document is not None else {}
    changes = letter.mend or suggested_changes(value)
    values = changes.values if changes is not None else {}
    unset = changes.unset if changes is not None else ()
    found = faults(letter.key, value)
    wrong = dict(fault.removeprefix(PREFIX).split(": ", 1) for fault in found if fault.startswith(PREFIX))
    fields = [
        Field(
            name=name,
            text=_text(values.get(name, payload.get(name))) or "",
            was=_text(payload[name]) if name in payload else None,
            wrong=wrong.get(name, ""),
            personal=name in PERSONAL,
            suggested=name in values,
        )
        for name in fields_of(value)
    ]
    known = {field.name for field in fields}
    strangers = [
        (encodable(name), _text(each) or "", name in unset) for name, each in payload.items() if name not in known
    ]
    return CorrectionForm(fields, strangers, found, _note(letter, values, unset)) if fields else None


def _note(letter: Letter, values: Mapping[str, Any], unset: Sequence[str]) -> str:
    if letter.mend is not None:
        return letter.mend.note
    words = [f"{name}, from the event itself" for name in values] + [f"{name} was misspelled" for name in unset]
    return "; ".join(words)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return encodable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
