"""Definitions of properties: what a call may say of a property, and which types and fields go together."""

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from sandbox.hubspot.http.answers import invalid
from sandbox.hubspot.http.calls import as_list, as_text, not_set
from sandbox.hubspot.schema.options import check_options

FIELD_TYPES: Final[Mapping[str, frozenset[str]]] = {
    "string": frozenset({"text", "textarea", "html", "phonenumber", "file", "calculation_equation"}),
    "number": frozenset({"number", "calculation_equation"}),
    "date": frozenset({"date"}),
    "datetime": frozenset({"date"}),
    "enumeration": frozenset({"select", "radio", "checkbox", "booleancheckbox", "calculation_equation"}),
    "bool": frozenset({"booleancheckbox", "calculation_equation"}),
}
CHANGEABLE: Final = frozenset(
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
# `hasUniqueValue` can be set only while a property is created.
CREATABLE: Final = CHANGEABLE | {"name", "hasUniqueValue", "externalOptions", "dataSensitivity"}

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,99}")
_REQUIRED: Final = ("groupName", "name", "label", "type", "fieldType")
_BOOLEANS: Final = ("hidden", "formField", "hasUniqueValue", "externalOptions")


def checked_definition(definition: Mapping[str, Any], groups: Collection[str]) -> dict[str, Any]:
    """Return a definition as HubSpot takes it, whether it exists or not. Raises Refused if it makes no sense."""
    missing = [name for name in _REQUIRED if not definition.get(name)]
    if missing:
        raise not_set(missing)
    taken = {name: value for name, value in definition.items() if value is not None}
    taken |= {name: as_text(definition[name]) for name in _REQUIRED}
    name, kind, field = taken["name"], taken["type"], taken["fieldType"]
    if not _NAME.fullmatch(name):
        raise invalid(f"The property name '{name}' is invalid: lower-case letters, digits and underscores only.")
    if field not in FIELD_TYPES.get(kind, frozenset()):
        raise invalid(f"The fieldType '{field}' is not valid for the type '{kind}'.")
    if taken["groupName"] not in groups:
        raise invalid(f"Property group '{taken['groupName']}' does not exist.")
    if wrong := [name for name in _BOOLEANS if not isinstance(taken.get(name, False), bool)]:
        raise invalid(f"Invalid input JSON on line 1, column 1: {', '.join(wrong)} must be true or false.")
    taken["options"] = as_list(definition.get("options"))
    check_options(kind, taken["options"])
    return taken
