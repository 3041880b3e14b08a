"""Properties: the schema of contacts, which have no other properties."""

from collections.abc import Callable, Mapping, Sequence
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
        known = self.properties.get("lifecyclestage")
        return [option["value"] for option in known.definition["options"]] if known else []

    def takes_several(self, name: str) -> bool:
        """Return whether a property's value may consist of several options."""
        return bool(self.properties[name].definition["fieldType"] == "checkbox")

    def with_times(self, values: Mapping[str, Any], refused: Callable[[str], bool]) -> list[Failure]:
        """Return the failures of the times for which *refused* is True."""
        return [
            Failure(name, value, "INVALID_LONG", f"{value} was not a valid long.")
            for name, value in values.items()
            if name in self.properties and self.properties[name].definition["type"] == "datetime"
            if isinstance(value, str) and refused(value)
        ]

    def with_white_space(self, values: Mapping[str, Any]) -> list[Failure]:
        """Return the failures of values with white space around them, which only texts may have."""
        return [
            Failure(name, value, "INVALID_WHITESPACE", f"{value!r} has white space around it.")
            for name, value in values.items()
            if name in self.properties and self.properties[name].definition["type"] != "string"
            if isinstance(value, str) and value != value.strip()
        ]

    def is_read_only(self, name: str) -> bool:
        """Return whether no call can set a property's value, as for one that does not exist."""
        known = self.properties.get(name)
        return known is None or known.read_only

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
        # HubSpot makes a property unique only when it is created, and one that is restored was created before.
        unique = {"hasUniqueValue": former["hasUniqueValue"]} if former else {}
        complete = DEFAULTS | {"createdAt": now} | former | {"updatedAt": now} | dict(definition) | unique
        complete["archived"] = False
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

    def check_room(self, definitions: Sequence[Mapping[str, Any]]) -> None:
        """Raises Refused if the portal can not have these properties too."""
        unique = sum(bool(definition.get("hasUniqueValue")) for definition in definitions)
        if unique and len(self._unique) + unique > MOST_UNIQUE:
            raise invalid(f"There can be at most {MOST_UNIQUE} properties with unique values.")
        if self.custom + len(definitions) > MOST_CUSTOM:
            raise invalid(f"There can be at most {MOST_CUSTOM} custom properties.")

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
            return _trimmed(check_option(("true", "false"), several=False))
        case _, "enumeration":
            options = [as_text(option["value"]) for option in definition["options"]]
            return _trimmed(check_option(options, several=definition["fieldType"] == "checkbox"))
        case _, "string":
            return CHECKS["string"]
        case _, kind:
            return _trimmed(CHECKS[kind])


def _trimmed(check: Check) -> Check:
    # HubSpot announced to refuse white space around these values, and cancelled that in October 2025.
    return lambda value: check(value.strip())
