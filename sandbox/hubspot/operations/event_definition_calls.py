"""Calls about event definitions."""

import re
from collections.abc import Mapping
from typing import Any, Final

from sandbox.hubspot.http.answers import Answer, Refused, invalid, refuse
from sandbox.hubspot.http.auth import DEFINE_EVENTS, missing_scopes
from sandbox.hubspot.http.calls import Call, as_object, as_text
from sandbox.hubspot.records.event_definitions import EventDefinition
from sandbox.hubspot.records.portal import Portal

MOST_DEFINITIONS: Final = 500
LONGEST_NAME: Final = 50
NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
TYPES: Final = frozenset({"string", "number", "enumeration", "datetime", "bool", "date"})
_REQUIRED: Final = ("label", "propertyDefinitions", "includeDefaultProperties")


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
    missing = [name for name in _REQUIRED if body.get(name) is None]
    if missing:
        raise invalid(f"Invalid input JSON on line 1, column 1. Some required fields were not set: {missing}")
    name = as_text(body.get("name")) or re.sub(r"[^a-z0-9]+", "_", as_text(body["label"]).lower()).strip("_")
    _check_name(name)
    properties = [_checked_property(as_object(item)) for item in body["propertyDefinitions"]]
    definitions = portal.event_definitions
    if name in definitions.by_name:
        raise refuse(409, f"Event with name {name} already exists.", "CONFLICT")
    if len(definitions.by_name) >= MOST_DEFINITIONS:
        raise invalid(f"There are already {MOST_DEFINITIONS} event definitions.")
    return Answer(201, _full(definitions.add(name, body, properties)))


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
    name, kind = as_text(body.get("name")), as_text(body.get("type"))
    _check_name(name)
    if kind not in TYPES:
        raise invalid(f"'{kind}' is no type of an event property.")
    if kind == "enumeration" and not body.get("options"):
        raise invalid("An event property of the type enumeration needs options.")
    return {"label": name, **body, "name": name, "type": kind}


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise invalid(
            f"The name '{name}' is invalid: at most {LONGEST_NAME} lower-case letters, digits and underscores."
        )


def _full(definition: EventDefinition) -> dict[str, Any]:
    return definition.shown | {"properties": list(definition.properties.values())}


def _brief(definition: EventDefinition) -> dict[str, Any]:
    return definition.shown
