"""The published schemas: a JSON Schema for the records of each event, and an AsyncAPI document for all of them.

They are generated from the models into files under `schemas/published`, for readers in any language. A change of the
models is also compared with them: see `compatibility`.
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
    """Return the documents generated from the models: one for each event, by its type, and the AsyncAPI document."""
    records = {event_type: record_schema(model) for event_type, model in EVENTS.items()}
    return {**records, ASYNCAPI: asyncapi(records)}


def published(folder: Path = FOLDER) -> dict[str, Document]:
    """Return the published documents, read from their files."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))}


def publish(made: Mapping[str, Document], folder: Path = FOLDER) -> None:
    """Write *made* into the files, and remove the files of other events."""
    folder.mkdir(exist_ok=True)
    for path in folder.glob("*.json"):
        if path.stem not in made:
            path.unlink()
    for name, document in made.items():
        (folder / f"{name}.json").write_text(as_text(document), "utf-8")


def as_text(document: Document) -> str:
    """Return the text of a file, which is the same for equal documents."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def record_schema(model: type[Event]) -> Document:
    """Return the JSON Schema of an event's records: the envelope with the event's payload.

    Additional fields are allowed everywhere, so that a writer may be newer than its readers.
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
    """Return an example of *schema*, made from the examples of its fields."""
    if "properties" in schema:
        return {name: example(field) for name, field in schema["properties"].items()}
    if "const" in schema:
        return schema["const"]
    return schema["examples"][0]


def _payload(model: type[Event]) -> Document:
    schema = model.model_json_schema()
    # The field distinguishes the models; in a record the type is outside of the payload.
    del schema["properties"]["type"]
    return {**schema, "description": _docstring(model)}


def _plain(schema: Document) -> Document:
    """Return *schema* without keywords that only Python needs: titles, defaults, and the ban on unknown fields."""
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
