"""The published schemas: for each event what a reader may rely on, as JSON Schema, and all of them as AsyncAPI.

They are made of the models, and are files under `schemas/published`, for readers in any language. They are also what
a change of the models is held against: see `compatibility`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from schemas.asyncapi import asyncapi
from schemas.envelope import Envelope
from schemas.events import EVENTS, Event

FOLDER: Final = Path(__file__).parent / "published"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
ASYNCAPI: Final = "asyncapi"

Document = dict[str, Any]


def documents() -> dict[str, Document]:
    """Return what the models say today: a document for each event, by its type, and the one of AsyncAPI."""
    records = {event_type: record_schema(model) for event_type, model in EVENTS.items()}
    return {**records, ASYNCAPI: asyncapi(records)}


def published(folder: Path = FOLDER) -> dict[str, Document]:
    """Return what is in the files."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))}


def publish(made: Mapping[str, Document], folder: Path = FOLDER) -> None:
    """Write *made* into the files, and remove those of events that are no more."""
    folder.mkdir(exist_ok=True)
    for path in folder.glob("*.json"):
        if path.stem not in made:
            path.unlink()
    for name, document in made.items():
        (folder / f"{name}.json").write_text(as_text(document), "utf-8")


def as_text(document: Document) -> str:
    """Return the text of the file: the same for the same document."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def record_schema(model: type[Event]) -> Document:
    """Return the JSON Schema of an event's records: the envelope around this payload.

    Fields that it does not name are allowed everywhere: a writer may be ahead of its readers.
    """
    event_type = model.model_fields["type"].default
    envelope = Envelope.model_json_schema()
    parts = {"contact": envelope["$defs"]["Contact"], "totals": envelope["$defs"]["Totals"], "payload": _payload(model)}
    fields = {name: _plain(parts.get(name, field)) for name, field in envelope["properties"].items()}
    fields["type"]["const"] = event_type
    schema = {
        "$schema": DIALECT,
        "title": event_type,
        "description": f"{_docstring(model)} {_docstring(Envelope)} Ignore fields that are not named here.",
        "type": "object",
        "properties": fields,
        "required": envelope["required"],
    }
    return {**schema, "examples": [example(schema)]}


def example(schema: Document) -> Any:
    """Return a value of *schema*, made of the examples of its fields."""
    if "properties" in schema:
        return {name: example(field) for name, field in schema["properties"].items()}
    if "const" in schema:
        return schema["const"]
    return schema["examples"][0]


def _payload(model: type[Event]) -> Document:
    schema = model.model_json_schema()
    # It tells the models apart; in the record the type stands outside of the payload.
    del schema["properties"]["type"]
    return {**schema, "description": _docstring(model)}


def _plain(schema: Document) -> Document:
    """Return *schema* without what only Python knows: titles, defaults, and that our own writers add no field."""
    left_out = ("title", "default", "additionalProperties")
    plain: Document = {word: value for word, value in schema.items() if word not in left_out}
    if "properties" in plain:
        plain["properties"] = {name: _plain(field) for name, field in plain["properties"].items()}
    match plain.pop("anyOf", None):
        case [{"type": str(kind)} as either, {"type": "null"}]:
            return {**plain, **either, "type": [kind, "null"]}
        case None:
            return plain
        case other:
            raise NotImplementedError(f"a field that is one of {other}: say here how readers are told")


def _docstring(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split())
