"""Provisioning: creating what the portal lacks before we write to it. Changes and deletes nothing that is there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hubspot_consumer.hubspot.client import HubSpotClient
from hubspot_consumer.hubspot.paths import Paths
from hubspot_consumer.hubspot.schema import GROUP, PROPERTIES, event_definition, event_name
from hubspot_consumer.outcomes import Halt, Refusal, Rejected, RetryLater
from schemas.events import EVENT_TYPES


class ProvisionRefused(RuntimeError):
    """HubSpot did not list or create something; the message says what and why."""


@dataclass(frozen=True)
class Missing:
    """Something to create: what it is, and the call that creates it."""

    what: str
    path: str
    definition: Mapping[str, Any]


@dataclass(frozen=True)
class Plan:
    """What to create, in this order, and what is there but differs from what we write."""

    missing: Sequence[Missing]
    mismatches: Sequence[str]


class Provision:
    """Compares the portal with our schema and creates what it lacks."""

    def __init__(self, client: HubSpotClient, paths: Paths) -> None:
        self._client = client
        self._paths: Final = paths

    async def plan(self, *, custom_events: bool = True) -> Plan:
        """Return what the portal lacks. Raises ProvisionRefused."""
        groups = {group.get("name") for group in await self._list(self._paths.property_groups)}
        known = {known.get("name"): known for known in await self._list(self._paths.properties)}
        missing = []
        if GROUP not in groups:
            missing.append(
                Missing(f"property group {GROUP}", self._paths.property_groups, {"name": GROUP, "label": "Nerava"})
            )
        missing += [
            Missing(f"property {wanted.name}", self._paths.properties, wanted.definition())
            for wanted in PROPERTIES
            if wanted.name not in known
        ]
        mismatches = [
            f"property {wanted.name} is of type {actual}, and should be {wanted.type}"
            for wanted in PROPERTIES
            if wanted.name in known and (actual := known[wanted.name].get("type")) != wanted.type
        ]
        if custom_events:
            names = {event.get("name") for event in await self._list(self._paths.event_definitions)}
            missing += [
                Missing(f"event {event_name(kind)}", self._paths.event_definitions, event_definition(kind))
                for kind in EVENT_TYPES
                if event_name(kind) not in names
            ]
        return Plan(missing, mismatches)

    async def create(self, missing: Missing) -> None:
        """Create one thing; if somebody else has created it meanwhile, that is as good. Raises ProvisionRefused."""
        refusal = await self._client.define(missing.path, missing.definition)
        if refusal is not None:
            raise ProvisionRefused(f"{missing.what}: {_why(refusal)}")

    async def _list(self, path: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        after: str | None = None
        while True:
            page = await self._client.page(path, after)
            if isinstance(page, Halt | Rejected | RetryLater):
                raise ProvisionRefused(f"{path}: {_why(page)}")
            found += page.items
            if page.after is None:
                return found
            after = page.after


def _why(refusal: Refusal) -> str:
    return refusal.cause if isinstance(refusal, RetryLater) else refusal.detail
