"""Compatibility: whether a change of the published schemas breaks a reader.

A change breaks a reader in two cases: a reader of the old schemas can't read new records, or a reader of the new
schemas can't read old records, which stay on the topics for 30 days. So the set of required fields may neither shrink
nor grow, and a field's values may not change: only a new event and a new optional field break no reader.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

Document = dict[str, Any]

# Keywords for people: readers of records do not depend on them.
FOR_PEOPLE: Final = ("title", "description", "examples")
HEADERS: Final = ("headers", "dead_letter_headers")
"""Names of the schemas of headers in the AsyncAPI document."""


def breaks(old: Mapping[str, Document], new: Mapping[str, Document]) -> list[str]:
    """Return what breaks a reader between two sets of documents, by their names; nothing if the version rose."""
    was, becomes = _version(old), _version(new)
    if becomes != was:
        return [f"schema_version fell from {was} to {becomes}"] if becomes < was else []
    return [fault for name, document in old.items() for fault in _document(name, document, new.get(name))]


def _document(name: str, old: Document, new: Document | None) -> Iterator[str]:
    if new is None:
        yield f"{name} was removed"
    elif "asyncapi" in old:
        yield from _topics(old, new)
    else:
        yield from _fields(name, old, new)


def _topics(old: Document, new: Document) -> Iterator[str]:
    for name, channel in old["channels"].items():
        if name not in new["channels"]:
            yield f"the topic {channel['address']} was removed"
        elif (address := new["channels"][name]["address"]) != channel["address"]:
            yield f"the topic {channel['address']} became {address}"
    for name in HEADERS:
        yield from _fields(name, old["components"]["schemas"][name], new["components"]["schemas"][name])


def _fields(path: str, old: Document, new: Document) -> Iterator[str]:
    fields, required = new["properties"], new.get("required", [])
    for name, before in old["properties"].items():
        after, field = fields.get(name), f"{path}.{name}"
        if after is None:
            yield f"{field} was removed"
            continue
        if (name in required) != (name in old.get("required", [])):
            yield f"{field} {'became required' if name in required else 'is not always there any more'}"
        if "properties" in before and "properties" in after:
            yield from _fields(field, before, after)
        elif _values(before) != _values(after):
            yield f"{field} takes other values than before: {_difference(_values(before), _values(after))}"
    for name in fields:
        if name not in old["properties"] and name in required:
            yield f"{path}.{name} is new and required"


def _values(schema: Document) -> Document:
    return {word: value for word, value in schema.items() if word not in FOR_PEOPLE}


def _difference(before: Document, after: Document) -> str:
    words = sorted(word for word in before.keys() | after.keys() if before.get(word) != after.get(word))
    return ", ".join(f"{word} was {before.get(word)}, is {after.get(word)}" for word in words)


def _version(documents: Mapping[str, Document]) -> int:
    records = [document for document in documents.values() if "asyncapi" not in document]
    return max((record["properties"]["schema_version"]["const"] for record in records), default=0)
