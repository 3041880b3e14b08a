"""Calls about event definitions."""

import re
from collections.abc import Mapping
from typing import Any, Final

from sandbox.hubspot.http.answers import Answer, Refused, invalid, refuse
from sandbox.hubspot.http.auth import DEFINE_EVENTS, missing_scopes
from sandbox.hubspot.http.calls import Call, as_list, as_objects, as_text, not_set
from sandbox.hubspot.records.event_definitions import EventDefinition
from sandbox.hubspot.records.portal import Portal
from sandbox.hubspot.schema.options import check_options

MOST_DEFINITIONS: Final = 500
LONGEST_NAME: Final = 50
NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
PRIMARY_OBJECTS: Final = frozenset({"CONTACT", "COMPANY", "DEAL", "TICKET"})
# The type of an event property and the fieldType that HubSpot shows for it.
_FIELD_TYPES: Final = {
    "string": "text",
    "number": "number",
    "enumeration": "select",
    "datetime": "date",
    "bool": "booleancheckbox",
    "date": "date",
}
_GROUP: Final = "custom_event_properties"
_REQUIRED: Final = ("label", "propertyDefinitions", "includeDefaultProperties")
_WITHOUT_CARDS: Final = "2026-03"


def list_definitions(portal: Portal, call: Call) -> Answer:
    check_tier(portal)
    after, limit = call.number("after", 0), call.number("limit", 100)
    known = list(portal.event_definitions.by_name.values())
    # The list contains properties only if the call requests them.
    show = _full if call.argument("includeProperties") == "true" else _brief
    body: dict[str, Any] = {
        "total": len(known),
        "results": [show(definition) for definition in known[after : after + limit]],
    }
    if after + limit < len(known):
        body["paging"] = {"next": {"after": str(after + limit)}}
    return Answer(200, body)


def get_definition(portal: Portal, call: Call) -> Answer:
    check_tier(portal)
    return Answer(200, _full(_named(portal, call)))


def create_definition(portal: Portal, call: Call) -> Answer:
    check_tier(portal)
    body = call.object()
    missing = [name for name in _REQUIRED if body.get(name) in (None, "")]
    if missing:
        raise not_set(missing)
    name = as_text(body.get("name")) or _name_of(as_text(body["label"]))
    _check_name(name)
    properties = [_checked_property(item) for item in as_objects(body["propertyDefinitions"])]
    if as_text(body.get("primaryObject") or "CONTACT") not in PRIMARY_OBJECTS:
        raise invalid(f"The primaryObject must be one of {', '.join(sorted(PRIMARY_OBJECTS))}.")
    definitions = portal.event_definitions
    if name in definitions.by_name or name in definitions.deleted:
        raise refuse(409, f"Event with name {name} already exists.", "CONFLICT")
    if len(definitions.by_name) >= MOST_DEFINITIONS:
        raise invalid(f"There are already {MOST_DEFINITIONS} event definitions.")
    return Answer(201, _full(definitions.add(name, body, properties)))


def change_definition(portal: Portal, call: Call) -> Answer:
    """Change label, description and, but for version 2026-03, the card of the timeline. All else is permanent."""
    check_tier(portal)
    definition, body = _named(portal, call), call.object()
    if _WITHOUT_CARDS in call.segments:
        body = {name: body[name] for name in ("label", "description") if name in body}
    portal.event_definitions.change(definition, body)
    return Answer(201, _full(definition))


def delete_definition(portal: Portal, call: Call) -> Answer:
    """Delete a definition. No other can ever have its name."""
    check_tier(portal)
    portal.event_definitions.delete(_named(portal, call))
    return Answer(204)


def add_property(portal: Portal, call: Call) -> Answer:
    check_tier(portal)
    definition = _named(portal, call)
    added = _checked_property(call.object())
    if added["name"] in definition.properties:
        raise refuse(409, f"A property named '{added['name']}' already exists.", "CONFLICT")
    definition.properties[added["name"]] = added
    return Answer(201, added)


def check_tier(portal: Portal) -> None:
    """Raises Refused with 403 if the account's tier has no custom events."""
    if not portal.settings.custom_events:
        raise missing_scopes((DEFINE_EVENTS,))


def unknown_event(name: str) -> Refused:
    words = f"Event with fully qualified name {name} does not exist."
    inner = f"category=VALIDATION_ERROR, message={words}, errors=[], context={{}}, links={{}}"
    return invalid(f"StandardError{{status=error, {inner}}}")


def _named(portal: Portal, call: Call) -> EventDefinition:
    name = call.parameters["name"]
    definition = portal.event_definitions.find(name)
    if definition is None:
        # HubSpot answers 400, not 404.
        raise unknown_event(name)
    return definition


def _checked_property(body: Mapping[str, Any]) -> dict[str, Any]:
    missing = [name for name in ("label", "type") if not body.get(name)]
    if missing:
        raise not_set(missing)
    label, kind = as_text(body["label"]), as_text(body["type"])
    name = as_text(body.get("name")) or _name_of(label)
    _check_name(name)
    if kind not in _FIELD_TYPES:
        raise invalid(f"'{kind}' is no type of an event property.")
    options = as_list(body.get("options"))
    check_options(kind, options)
    shown = {"name": name, "label": label, "type": kind, "fieldType": _FIELD_TYPES[kind], "groupName": _GROUP}
    return shown | {"description": as_text(body.get("description")), "options": options, "archived": False}


def _name_of(label: str) -> str:
    """Return the name that HubSpot makes of a label."""
    return re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise invalid(
            f"The name '{name}' is invalid: at most {LONGEST_NAME} lower-case letters, digits and underscores."
        )


def _full(definition: EventDefinition) -> dict[str, Any]:
    return definition.shown | {"properties": list(definition.properties.values())}


def _brief(definition: EventDefinition) -> dict[str, Any]:
    return definition.shown | {"properties": []}
