"""The difference between a payload and its correction, field by field, in words and in JSON's own spelling."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from hubspot_consumer.dead_letters.corrections import document_of, suggested_changes
from hubspot_consumer.dead_letters.dead_letter import Letter
from schemas.texts import encodable

How = Literal["changed", "added", "left out"]


class Difference(NamedTuple):
    """A field that a correction changes. *was* and *now* are JSON, as "500" differs from 500; None for no value."""

    name: str
    how: How
    was: str | None
    now: str | None


def differences_of(letter: Letter, value: bytes | None) -> list[Difference]:
    """Return what the correction of a dead letter changes or, if it has none and is open, the suggested one."""
    changes = letter.mend or (suggested_changes(value or b"") if letter.is_open else None)
    document = document_of(value or b"")
    if changes is None or document is None:
        return []
    was = {name: _json(each) for name, each in document["payload"].items()}
    return _differences(was, changes.values, changes.unset)


def differences_in(report: Mapping[str, Any] | None) -> list[Difference]:
    """Return what a report of `dead-letters mend --json` says that it changes; nothing of a report of another kind."""
    match report:
        case {"was": dict(was), "changes": {"values": dict(values), "unset": list(unset)}}:
            return _differences(was, values, unset)
    return []


def _differences(was: Mapping[str, str], values: Mapping[str, Any], unset: Sequence[str]) -> list[Difference]:
    """Return the differences, in the order of *was*, which has the payload's values as JSON; new fields are last."""
    found = []
    for name in dict.fromkeys((*was, *values, *unset)):
        before, now = was.get(name), _json(values[name]) if name in values else None
        if now is not None and now != before:
            found.append(Difference(encodable(name), "added" if before is None else "changed", before, now))
        elif name in unset and before is not None:
            found.append(Difference(encodable(name), "left out", before, None))
    return found


def _json(value: Any) -> str:
    return encodable(json.dumps(value, ensure_ascii=False))
