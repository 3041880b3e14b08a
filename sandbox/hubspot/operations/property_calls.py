"""Calls about properties and their groups."""

from collections.abc import Mapping
from typing import Any

from sandbox.hubspot.http.answers import Answer, invalid, refuse
from sandbox.hubspot.http.calls import Call, as_text, not_set
from sandbox.hubspot.records.portal import Portal
from sandbox.hubspot.schema.definitions import CHANGEABLE, CREATABLE, checked_definition
from sandbox.hubspot.schema.properties import Property

_EXISTS = "Properties.PROPERTY_WITH_NAME_EXISTS"
_CATEGORY = "OBJECT_ALREADY_EXISTS"


def list_properties(portal: Portal, call: Call) -> Answer:
    if call.argument("archived") == "true":
        return Answer(200, {"results": list(portal.schema.archived.values())})
    return Answer(200, {"results": [known.definition for known in portal.schema.properties.values()]})


def get_property(portal: Portal, call: Call) -> Answer:
    return Answer(200, _named(portal, call).definition)


def change_property(portal: Portal, call: Call) -> Answer:
    known = _named(portal, call)
    if known.definition["modificationMetadata"]["readOnlyDefinition"]:
        raise invalid(f"The definition of the property '{known.name}' is read-only.")
    changes = {name: value for name, value in call.object().items() if name in CHANGEABLE}
    checked = checked_definition(known.definition | changes, portal.schema.groups)
    return Answer(200, portal.schema.change(known.name, {name: checked[name] for name in changes if name in checked}))


def archive_property(portal: Portal, call: Call) -> Answer:
    known = _named(portal, call)
    if not known.definition["modificationMetadata"]["archivable"]:
        raise invalid(f"The property '{known.name}' can not be archived.")
    portal.schema.archive(known.name)
    return Answer(204)


def create_property(portal: Portal, call: Call) -> Answer:
    definition = _checked(portal, call.object())
    if definition["name"] in portal.schema.properties:
        raise refuse(409, _exists(definition["name"]), _CATEGORY, subCategory=_EXISTS)
    portal.schema.check_room([definition])
    return Answer(201, portal.schema.add(definition))


def create_properties(portal: Portal, call: Call) -> Answer:
    """Create a batch of properties: existing ones are errors of a 207, an invalid one makes the whole call fail."""
    started = portal.clock.timestamp()
    definitions = [_checked(portal, item) for item in call.inputs() or []]
    portal.schema.check_room([item for item in definitions if item["name"] not in portal.schema.properties])
    results: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    for definition in definitions:
        name = definition["name"]
        if name in portal.schema.properties:
            error = {"status": "error", "category": _CATEGORY, "subCategory": _EXISTS, "message": _exists(name)}
            errors.append(error | {"context": {"name": [name]}})
        else:
            results.append(portal.schema.add(definition))
    body: dict[str, Any] = {"status": "COMPLETE", "results": results}
    if errors:
        body |= {"numErrors": len(errors), "errors": errors}
    body |= {"startedAt": started, "completedAt": portal.clock.timestamp()}
    return Answer(207 if errors else 201, body)


def list_groups(portal: Portal, _: Call) -> Answer:
    return Answer(200, {"results": list(portal.schema.groups.values())})


def get_group(portal: Portal, call: Call) -> Answer:
    name = call.parameters["name"]
    if name not in portal.schema.groups:
        raise refuse(404, f"Property group '{name}' does not exist.", "OBJECT_NOT_FOUND")
    return Answer(200, portal.schema.groups[name])


def create_group(portal: Portal, call: Call) -> Answer:
    definition = call.object()
    if not definition.get("name") or not definition.get("label"):
        raise not_set(["name", "label"])
    name = as_text(definition["name"])
    if name in portal.schema.groups:
        raise refuse(409, f"A property group named '{name}' already exists.", _CATEGORY)
    return Answer(201, portal.schema.add_group(definition | {"name": name, "label": as_text(definition["label"])}))


def _checked(portal: Portal, body: Mapping[str, Any]) -> dict[str, Any]:
    creatable = {name: value for name, value in body.items() if name in CREATABLE}
    return checked_definition(creatable, portal.schema.groups)


def _named(portal: Portal, call: Call) -> Property:
    name = call.parameters["name"]
    known = portal.schema.properties.get(name)
    if known is None:
        raise refuse(404, f"Property '{name}' does not exist.", "OBJECT_NOT_FOUND")
    return known


def _exists(name: str) -> str:
    return f"A property named '{name}' already exists."
