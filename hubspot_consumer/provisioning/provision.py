"""Provisioning: it creates the definitions and cards that the portal lacks. It changes and deletes none that exist."""

from collections.abc import Sequence
from typing import Any, Final

from hubspot_consumer.hubspot.bodies import text_of
from hubspot_consumer.hubspot.client import HubSpotClient
from hubspot_consumer.hubspot.outcomes import Refusal, RetryLater, is_forbidden
from hubspot_consumer.hubspot.schema import GROUP, Property, our_properties
from hubspot_consumer.provisioning.differences import Differences, Missing, missing_cards, of_events, of_properties
from runtime.endings import CannotGoOn

# Of a hundred definitions each. HubSpot allows fewer definitions.
MOST_PAGES: Final = 20


class ProvisionRefused(CannotGoOn):
    """HubSpot did not list or create something. The message names it and the reason."""

    def __init__(self, what: str, refusal: Refusal) -> None:
        super().__init__(f"{what}: {refusal.detail}")
        self.refusal: Final = refusal


class Provision:
    """Compares the portal with our schema and creates the missing definitions."""

    def __init__(self, client: HubSpotClient) -> None:
        self._client = client
        self._paths: Final = client.paths
        self._ours: Final = our_properties(client.id_property)

    async def plan(self, *, custom_events: bool = True) -> Differences:
        """Return the missing and the differing definitions, without events if *custom_events* is False. Raises
        ProvisionRefused.
        """
        groups = {text_of(group.get("name")) for group in await self._list(self._paths.property_groups)}
        group = Missing(f"property group {GROUP}", self._paths.property_groups, {"name": GROUP, "label": "Nerava"})
        properties, events, cards = await self.properties(), Differences(), list[Missing]()
        if custom_events:
            try:
                listed = await self._event_definitions()
                events, cards = of_events(listed, self._paths), missing_cards(listed, self._paths)
            except ProvisionRefused as error:
                if not is_forbidden(error.refusal):
                    raise
                events = Differences(no_custom_events=str(error))
        return Differences(
            [*([] if GROUP in groups else [group]), *properties.missing, *events.missing, *cards],
            [*properties.mismatches, *events.mismatches],
            events.no_custom_events,
        )

    async def properties(self) -> Differences:
        """Return how the portal's contact properties differ from ours. Raises ProvisionRefused."""
        return await self._properties(self._ours)

    async def id_property(self) -> Differences:
        """Return what the portal lacks of the property of HUBSPOT_ID_PROPERTY. Raises ProvisionRefused."""
        return await self._properties([one for one in self._ours if one.unique])

    async def _properties(self, ours: Sequence[Property]) -> Differences:
        listed = await self._list(self._paths.properties)
        found = of_properties(listed, self._paths, ours)
        if not found.missing:
            return found
        # The list does not contain archived properties, which must not be created again.
        archived = await self._list(self._paths.properties, archived="true")
        return of_properties([*(one for one in archived if one.get("archived") is True), *listed], self._paths, ours)

    async def events(self) -> Differences:
        """Return how the portal's event definitions differ from ours. Raises ProvisionRefused."""
        return of_events(await self._event_definitions(), self._paths)

    async def create(self, missing: Missing) -> None:
        """Create one definition; it is no error if it exists by now. Raises ProvisionRefused."""
        refusal = await self._client.define(missing.path, missing.definition, missing.method)
        if refusal is not None:
            raise ProvisionRefused(missing.what, refusal)

    async def _event_definitions(self) -> list[dict[str, Any]]:
        return await self._list(self._paths.event_definitions, includeProperties="true")

    async def _list(self, path: str, **parameters: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        after: str | None = None
        for _ in range(MOST_PAGES):
            page = await self._client.page(path, after, **parameters)
            if isinstance(page, Refusal):
                raise ProvisionRefused(path, page)
            found += page.items
            if page.after is None:
                return found
            after = page.after
        raise ProvisionRefused(path, RetryLater(f"the list has more than {MOST_PAGES} pages"))
