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
        shown = {
            "id": str(next(self._ids)),
            "name": name,
            "fullyQualifiedName": f"pe{self.portal_id}_{name}",
            "labels": {"singular": body["label"]},
            "description": body.get("description", ""),
            "primaryObject": body.get("primaryObject", "CONTACT"),
            "createdAt": now,
            "updatedAt": now,
            "archived": False,
        }
        definition = EventDefinition(
            shown, {known["name"]: known for known in properties}, bool(body["includeDefaultProperties"])
        )
        self.by_name[name] = definition
        return definition
