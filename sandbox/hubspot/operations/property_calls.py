"""Calls about properties and their groups."""

from typing import Any

from sandbox.hubspot.http.answers import Answer, invalid, refuse
from sandbox.hubspot.http.calls import Call, as_object, as_text
from sandbox.hubspot.records.portal import Portal
from sandbox.hubspot.schema.properties import MOST_CUSTOM, Property

_EXISTS = "Properties.PROPERTY_WITH_NAME_EXISTS"
_CATEGORY = "OBJECT_ALREADY_EXISTS"
_CHANGEABLE = frozenset(
    {
        "label",
        "description",
        "groupName",
        "displayOrder",
        "hidden",
        "formField",
        "options",
        "type",
        "fieldType",
    }
)
MOST_OVERALL = 10_000


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
    changes = {name: value for name, value in call.object().items() if name in _CHANGEABLE}
    portal.schema.check_definition(known.definition | changes)
    return Answer(200, portal.schema.change(known.name, changes))


def archive_property(portal: Portal, call: Call) -> Answer:
    known = _named(portal, call)
    if not known.definition["modificationMetadata"]["archivable"]:
        raise invalid(f"The property '{known.name}' can not be archived.")
    portal.schema.archive(known.name)
    return Answer(204)


def limits(portal: Portal, _: Call) -> Answer:
    usage = {
        "limit": MOST_CUSTOM,
        "usage": portal.schema.custom,
        "percentage": 100 * portal.schema.custom / MOST_CUSTOM,
    }
    contacts = {"objectTypeId": "0-1", "singularLabel": "Contact", "pluralLabel": "Contacts", **usage}
    overall = {
        "overallLimit": MOST_OVERALL,
        "overallUsage": portal.schema.custom,
        "overallPercentage": 100 * portal.schema.custom / MOST_OVERALL,
    }
    return Answer(200, {"byObjectType": [contacts], **overall})


def create_property(portal: Portal, call: Call) -> Answer:
    definition = call.object()
    portal.schema.check_definition(definition)
    if definition["name"] in portal.schema.properties:
        raise refuse(409, _exists(definition["name"]), _CATEGORY, subCategory=_EXISTS)
    return Answer(201, portal.schema.add(definition))


def create_properties(portal: Portal, call: Call) -> Answer:
    """Create a batch of properties: existing ones are errors of a 207, an invalid one makes the whole call fail."""
    started = portal.clock.timestamp()
    definitions = [as_object(item) for item in call.object().get("inputs") or []]
    for definition in definitions:
        portal.schema.check_definition(definition)
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
        raise invalid("Invalid input JSON on line 1, column 1. Some required fields were not set: [name, label]")
    name = as_text(definition["name"])
    if name in portal.schema.groups:
        raise refuse(409, f"A property group named '{name}' already exists.", _CATEGORY)
    return Answer(201, portal.schema.add_group(definition))


def _named(portal: Portal, call: Call) -> Property:
    name = call.parameters["name"]
    known = portal.schema.properties.get(name)
    if known is None:
        raise refuse(404, f"Property '{name}' does not exist.", "OBJECT_NOT_FOUND")
    return known


def _exists(name: str) -> str:
    return f"A property named '{name}' already exists."
