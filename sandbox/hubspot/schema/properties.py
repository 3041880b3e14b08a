"""Properties: the schema of contacts, which have no other properties."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sandbox.hubspot.clock import PortalClock
from sandbox.hubspot.http.answers import invalid
from sandbox.hubspot.http.calls import as_text
from sandbox.hubspot.schema.default_properties import DEFAULT_PROPERTIES, GROUP
from sandbox.hubspot.schema.validation import (
    CHECKS,
    Check,
    Failure,
    InvalidValue,
    check_email,
    check_emails,
    check_option,
)

MOST_UNIQUE: Final = 10
MOST_CUSTOM: Final = 1_000
EMAILS: Final = frozenset({"email", "hs_additional_emails"})
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,99}")
_REQUIRED: Final = ("groupName", "name", "label", "type", "fieldType")
FIELD_TYPES: Final[Mapping[str, frozenset[str]]] = {
    "string": frozenset({"text", "textarea", "html", "phonenumber", "file", "calculation_equation"}),
    "number": frozenset({"number", "calculation_equation"}),
    "date": frozenset({"date"}),
    "datetime": frozenset({"date"}),
    "enumeration": frozenset({"select", "radio", "checkbox", "booleancheckbox", "calculation_equation"}),
    "bool": frozenset({"booleancheckbox", "calculation_equation"}),
}


@dataclass(frozen=True, slots=True)
class Property:
    name: str
    definition: dict[str, Any]
    check: Check
    read_only: bool
    unique: bool


class Schema:
    """The contact properties and their groups."""

    def __init__(self, clock: PortalClock) -> None:
        self._clock = clock
        self.groups: dict[str, dict[str, Any]] = {}
        self.properties: dict[str, Property] = {}
        self.archived: dict[str, dict[str, Any]] = {}
        self._identifying = EMAILS
        self._unique: tuple[str, ...] = ()
        self.add_group({"name": GROUP, "label": "Contact information", "displayOrder": 0})
        for definition in DEFAULT_PROPERTIES:
            self.add(definition)

    @property
    def identifying(self) -> frozenset[str]:
        """The names of the properties whose values identify a contact: emails and unique properties."""
        return self._identifying

    @property
    def unique(self) -> tuple[str, ...]:
        """The names of the custom properties with unique values."""
        return self._unique

    @property
    def custom(self) -> int:
        """The number of properties that are not HubSpot's own."""
        return len(self.properties) - len(DEFAULT_PROPERTIES)

    def stages(self) -> list[str]:
        """Return the lifecycle stages, from first to last."""
        return [option["value"] for option in self.properties["lifecyclestage"].definition["options"]]

    def takes_several(self, name: str) -> bool:
        """Return whether a property's value may consist of several options."""
        return bool(self.properties[name].definition["fieldType"] == "checkbox")

    def add_group(self, definition: Mapping[str, Any]) -> dict[str, Any]:
        group = {
            "name": definition["name"],
            "label": definition["label"],
            "displayOrder": definition.get("displayOrder", -1),
            "archived": False,
        }
        self.groups[group["name"]] = group
        return group

    def add(self, definition: Mapping[str, Any]) -> dict[str, Any]:
        """Add a property that passed `check_definition`, or restore an archived one, with the values of contacts."""
        now = self._clock.timestamp()
        former = self.archived.pop(definition["name"], {})
        complete = DEFAULTS | {"createdAt": now} | former | {"updatedAt": now} | dict(definition) | {"archived": False}
        self._put(complete)
        return complete

    def change(self, name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change a property's definition. The values of contacts stay as they are."""
        definition = self.properties[name].definition | dict(changes) | {"updatedAt": self._clock.timestamp()}
        self._put(definition)
        return definition

    def archive(self, name: str) -> None:
        """Archive a property: until it is restored, it does not exist for contacts."""
        now = self._clock.timestamp()
        self.archived[name] = self.properties.pop(name).definition | {"archived": True, "archivedAt": now}
        self._index()

    def _put(self, definition: dict[str, Any]) -> None:
        self.properties[definition["name"]] = property_of(definition)
        self._index()

    def _index(self) -> None:
        self._unique = tuple(known.name for known in self.properties.values() if known.unique)
        self._identifying = EMAILS.union(self._unique)

    def check_definition(self, definition: Mapping[str, Any]) -> None:
        """Raises Refused for a definition that HubSpot does not accept. Whether the name exists is not checked."""
        missing = [name for name in _REQUIRED if not definition.get(name)]
        if missing:
            raise invalid(f"Invalid input JSON on line 1, column 1. Some required fields were not set: {missing}")
        name, kind = as_text(definition["name"]), as_text(definition["type"])
        if not _NAME.fullmatch(name):
            raise invalid(f"The property name '{name}' is invalid: lower-case letters, digits and underscores only.")
        if definition["fieldType"] not in FIELD_TYPES.get(kind, frozenset()):
            raise invalid(f"The fieldType '{definition['fieldType']}' is not valid for the type '{kind}'.")
        if definition["groupName"] not in self.groups:
            raise invalid(f"Property group '{definition['groupName']}' does not exist.")
        _check_options(kind, definition.get("options") or [])
        if definition.get("hasUniqueValue") and len(self._unique) >= MOST_UNIQUE:
            raise invalid(f"There are already {MOST_UNIQUE} properties with unique values.")
        if self.custom >= MOST_CUSTOM:
            raise invalid(f"There are already {MOST_CUSTOM} custom properties.")

    def checked(self, values: Mapping[str, Any]) -> tuple[dict[str, str], list[Failure]]:
        """Return the values as HubSpot stores them, and the failures. Raises Refused for a value that is no scalar."""
        return checked(self.properties, values)


def checked(properties: Mapping[str, Property], values: Mapping[str, Any]) -> tuple[dict[str, str], list[Failure]]:
    """Return the values as *properties* store them, and the failures. Raises Refused for a value that is no scalar."""
    accepted: dict[str, str] = {}
    failures: list[Failure] = []
    for name, value in values.items():
        text = as_text(value)
        known = properties.get(name)
        if known is None:
            failures.append(Failure(name, text, "PROPERTY_DOESNT_EXIST", f'Property "{name}" does not exist'))
        elif known.read_only:
            words = f'"{name}" is a calculated property; its value cannot be set.'
            failures.append(Failure(name, text, "READ_ONLY_VALUE", words))
        elif not text:
            accepted[name] = ""
        else:
            try:
                accepted[name] = known.check(text)
            except InvalidValue as fault:
                failures.append(Failure(name, text, fault.error, fault.message))
    return accepted, failures


def property_of(definition: dict[str, Any]) -> Property:
    """Return the property of a complete definition."""
    return Property(
        name=definition["name"],
        definition=definition,
        check=_check(definition),
        read_only=definition["modificationMetadata"]["readOnlyValue"],
        unique=definition["hasUniqueValue"],
    )


DEFAULTS: Final[dict[str, Any]] = {
    "description": "",
    "options": [],
    "displayOrder": -1,
    "calculated": False,
    "externalOptions": False,
    "archived": False,
    "hasUniqueValue": False,
    "hidden": False,
    "hubspotDefined": False,
    "formField": True,
    "dataSensitivity": "non_sensitive",
    "modificationMetadata": {"archivable": True, "readOnlyDefinition": False, "readOnlyValue": False},
}


def _check(definition: Mapping[str, Any]) -> Check:
    match definition["name"], definition["type"]:
        case "email", _:
            return check_email
        case "hs_additional_emails", _:
            return check_emails
        case _, "bool":
            return check_option(("true", "false"), several=False)
        case _, "enumeration":
            options = [as_text(option["value"]) for option in definition["options"]]
            return check_option(options, several=definition["fieldType"] == "checkbox")
        case _, kind:
            return CHECKS[kind]


def _check_options(kind: str, options: Any) -> None:
    if not isinstance(options, list) or not all(
        isinstance(option, dict) and "label" in option and "value" in option for option in options
    ):
        raise invalid("Options need a label and a value.")
    values = [as_text(option["value"]) for option in options]
    if kind == "bool" and sorted(values) != ["false", "true"]:
        raise invalid(
            "A boolean property has exactly the options true and false.",
            errors=[{"message": "A boolean property has exactly two options.", "code": "INVALID_BOOLEAN_OPTION"}],
        )
    if kind == "enumeration" and not values:
        raise invalid("A property of the type enumeration needs options.")
    if len(set(values)) != len(values):
        raise invalid("Property option values must be unique.")
