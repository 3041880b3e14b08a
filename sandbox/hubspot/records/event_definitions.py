"""Event definitions: the custom events of the portal."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

from sandbox.hubspot.clock import PortalClock

_FIRST_ID: Final = 10_000_001


@dataclass(slots=True)
class EventDefinition:
    shown: dict[str, Any]
    properties: dict[str, dict[str, Any]]
    takes_default_properties: bool


@dataclass
class EventDefinitions:
    """The custom events of the portal, by their short name."""

    portal_id: int
    clock: PortalClock
    by_name: dict[str, EventDefinition] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    _ids: "count[int]" = field(default_factory=lambda: count(_FIRST_ID))

    def find(self, name: str) -> EventDefinition | None:
        """Return a definition by its short or by its fully qualified name."""
        return self.by_name.get(name) or self.by_name.get(name.removeprefix(f"pe{self.portal_id}_"))

    def qualified(self, name: str) -> EventDefinition | None:
        """Return a definition by its fully qualified name alone."""
        short = name.removeprefix(f"pe{self.portal_id}_")
        return self.by_name.get(short) if short != name else None

    def add(self, name: str, body: Mapping[str, Any], properties: list[dict[str, Any]]) -> EventDefinition:
        now = self.clock.timestamp()
        number = next(self._ids)
        shown: dict[str, Any] = {
            "id": str(number),
            "name": name,
            "fullyQualifiedName": f"pe{self.portal_id}_{name}",
            "labels": {"singular": body["label"]},
            "description": body.get("description") or "",
            "primaryObject": body.get("primaryObject") or "CONTACT",
            "createdAt": now,
            "updatedAt": now,
            "archived": False,
            "associations": [],
            "objectTypeId": f"6-{number}",
            "trackingType": "MANUAL",
        }
        definition = EventDefinition(
            shown, {known["name"]: known for known in properties}, bool(body["includeDefaultProperties"])
        )
        self.by_name[name] = definition
        return definition

    def change(self, definition: EventDefinition, body: Mapping[str, Any]) -> None:
        """Change the parts of a definition that are not permanent."""
        shown = definition.shown
        if label := body.get("label"):
            shown["labels"] = {"singular": label}
        if "description" in body:
            shown["description"] = body["description"]
        shown |= _texts(body) | {"updatedAt": self.clock.timestamp()}

    def delete(self, definition: EventDefinition) -> None:
        name = definition.shown["name"]
        del self.by_name[name]
        self.deleted.add(name)


def _texts(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return how the timeline shows an event: templates of text, and the order of the properties."""
    return {name: body[name] for name in ("headerTemplate", "detailTemplate", "propertyOrder") if name in body}
