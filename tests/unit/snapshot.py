"""The snapshot of the events: what their readers rely on, and whether a change breaks them.

Run as a program it accepts a compatible change: see docs/decisions/0007-schema-snapshot.md.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from schemas.envelope import SCHEMA_VERSION, Contact, Envelope, Totals
from schemas.events import EVENTS

FILE = Path(__file__).parents[2] / "schemas" / "snapshot.json"
Snapshot = dict[str, Any]


def present() -> Snapshot:
    """Return what the models say today: of each its fields, with their JSON schema and whether they must be there."""
    models: dict[str, type[BaseModel]] = {"envelope": Envelope, "contact": Contact, "totals": Totals, **EVENTS}
    return {"schema_version": SCHEMA_VERSION, "models": {name: _fields(model) for name, model in models.items()}}


def recorded() -> Snapshot:
    snapshot: Snapshot = json.loads(FILE.read_text())
    return snapshot


def breaks(old: Snapshot, new: Snapshot) -> list[str]:
    """Return what a reader of *old* records or an old reader of *new* ones trips over; nothing if the version rose."""
    return [] if new["schema_version"] > old["schema_version"] else list(_breaks(old, new))


def _fields(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema()
    # Every event is in the snapshot by itself, and `type` names it.
    left_out = {"payload"} if model is Envelope else {"type"}
    return {
        name: {"required": name in schema.get("required", ()), "schema": _without_titles(field)}
        for name, field in schema["properties"].items()
        if model in (Contact, Totals) or name not in left_out
    }


def _without_titles(schema: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in schema.items() if name not in ("title", "description")}


def _breaks(old: Snapshot, new: Snapshot) -> Iterator[str]:
    if new["schema_version"] < old["schema_version"]:
        yield f"schema_version fell from {old['schema_version']} to {new['schema_version']}"
    for name, fields in old["models"].items():
        if name not in new["models"]:
            yield f"{name} was removed"
            continue
        for field, before in fields.items():
            after = new["models"][name].get(field)
            if after is None:
                yield f"{name}.{field} was removed"
            elif after["required"] != before["required"]:
                yield f"{name}.{field} {'became required' if after['required'] else 'is not always there any more'}"
            elif after["schema"] != before["schema"]:
                yield f"{name}.{field} was retyped"
        for field, after in new["models"][name].items():
            if field not in fields and after["required"]:
                yield f"{name}.{field} is new and required"


if __name__ == "__main__":
    if FILE.exists() and (faults := breaks(recorded(), present())):
        sys.exit("Refused, for readers would break:\n  " + "\n  ".join(faults) + "\nRaise SCHEMA_VERSION to allow it.")
    FILE.write_text(json.dumps(present(), indent=2, sort_keys=True) + "\n")
    sys.stdout.write(f"Wrote {FILE.name}: commit it with the change of the models.\n")
