"""The portal: one HubSpot account with its settings and records, in memory."""

from collections.abc import Sequence
from random import Random
from typing import Any, Final

from sandbox.hubspot.clock import Clock, PortalClock, SystemClock
from sandbox.hubspot.faults.faults import Faults
from sandbox.hubspot.http.auth import Tokens
from sandbox.hubspot.http.quota import Quota
from sandbox.hubspot.http.request_log import RequestLog
from sandbox.hubspot.records.contacts import APP_ID, Contacts
from sandbox.hubspot.records.event_definitions import EventDefinitions
from sandbox.hubspot.records.exports import Exports
from sandbox.hubspot.records.notes import Notes
from sandbox.hubspot.records.timeline import Timeline
from sandbox.hubspot.schema.properties import Schema
from sandbox.hubspot.settings import Settings

# The id and token of the simulator's initial portal. The token is invented, in the form of private apps' tokens.
PORTAL_ID: Final = 4242
TOKEN: Final = "pat-na1-00000000-0000-4000-8000-000000000000"  # noqa: S105 - only the simulator accepts it


class Portal:
    """A portal whose initial *tokens* have every scope. Raises ValueError for a token of the wrong form."""

    def __init__(  # noqa: PLR0913 - the settings that callers choose at the start, by name
        self,
        portal_id: int,
        tokens: Sequence[str],
        *,
        quota: int = 100,
        window_s: float = 10,
        daily_limit: int = 250_000,
        time_zone: str = "US/Eastern",
        clock: Clock | None = None,
    ) -> None:
        self.portal_id: Final = portal_id
        self._initial: Final = Settings(quota=quota, window_s=window_s, daily_limit=daily_limit, time_zone=time_zone)
        self._initial_tokens: Final = tuple(tokens)
        self.clock: Final = PortalClock(clock or SystemClock())
        self.reset()

    def reset(self) -> None:
        """Reset the portal to its state after construction; only the clock keeps its time."""
        self.settings = self._initial
        self.random = Random(self._initial.seed)  # noqa: S311 - must be repeatable, not secret
        self.tokens = Tokens(self.clock)
        for token in self._initial_tokens:
            self.tokens.add(token)
        self.quota = Quota(self.clock)
        self.schema = Schema(self.clock)
        self.contacts = Contacts(self.schema, self.clock)
        self.event_definitions = EventDefinitions(self.portal_id, self.clock)
        self.notes = Notes(self.clock)
        self.timeline = Timeline()
        self.exports = Exports(self.clock)
        self.faults = Faults(self.clock, self.random)
        self.log = RequestLog()

    @property
    def burst_group(self) -> str:
        """The name of the burst quota in HubSpot's answers."""
        return f"publicapi:private_app-api-calls-ten-secondly:{APP_ID}:{self.portal_id}"

    def change_settings(self, **changes: Any) -> None:
        """Change settings. Raises pydantic.ValidationError for unknown names and bad values."""
        settings = self.settings.changed(changes)
        if settings.seed != self.settings.seed:
            self.random.seed(settings.seed)
        self.settings = settings
