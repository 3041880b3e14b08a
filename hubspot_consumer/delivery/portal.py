"""Checks the portal before the first delivery: whether the token belongs to it, whether contacts can be upserted by
HUBSPOT_ID_PROPERTY, and which entries it takes.
"""

import random
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Final, TypeVar

from hubspot_consumer.delivery.timeline import Timeline, TimelineMode
from hubspot_consumer.gates.circuit_breaker import LONGEST_PROBE_OF_OUTAGE_S, CircuitBreaker
from hubspot_consumer.gates.retries import Retries
from hubspot_consumer.hubspot.client import HubSpotClient
from hubspot_consumer.hubspot.outcomes import Halt, Refusal, Rejected, RetryLater, is_forbidden
from hubspot_consumer.hubspot.schema import EMAIL
from hubspot_consumer.provisioning.differences import Differences
from hubspot_consumer.provisioning.provision import Provision, ProvisionRefused
from hubspot_consumer.settings import Settings
from runtime.clock import Clock
from runtime.endings import Misconfigured
from runtime.logs import log

Answer = TypeVar("Answer")


async def _at_once() -> None:
    """Return at once: a run has its part of the quota from its begin to its end."""


class WrongPortal(Misconfigured):
    """The token belongs to another portal than HUBSPOT_PORTAL_ID, so contacts would be written to the wrong CRM."""


class NotProvisioned(Misconfigured):
    """The portal has no property of HUBSPOT_ID_PROPERTY that contacts can be upserted by."""


class Portal:
    """Repeats each request until HubSpot answers, so that no outage or refused token at start-up needs a restart.

    *may_ask* returns once this process has its part of the quota. A worker that Kafka has lost has none.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the composition roots have each of them
        self,
        client: HubSpotClient,
        settings: Settings,
        breaker: CircuitBreaker,
        clock: Clock,
        jitter: random.Random,
        may_ask: Callable[[], Awaitable[object]] = _at_once,
    ) -> None:
        self._client = client
        self._may_ask: Final = may_ask
        self._portal_id: Final = settings.hubspot_portal_id
        self._timeline: Final = settings.hubspot_timeline
        self._id_property_name: Final = settings.hubspot_id_property
        self._retries = Retries(breaker, clock, jitter, longest_s=LONGEST_PROBE_OF_OUTAGE_S)

    async def check(self) -> None:
        """Return when HubSpot has confirmed the token's portal, or does not name it. Raises WrongPortal.

        Also raises NotProvisioned.
        """
        actual = (await self._answered(self._client.portal)).portal_id
        if actual is None:
            log.warning("portal.not_checked", why="HubSpot does not say which portal the token belongs to")
        elif actual != self._portal_id:
            raise WrongPortal(
                f"HUBSPOT_PORTAL_ID is {self._portal_id}, but HUBSPOT_PRIVATE_APP_TOKEN belongs to portal {actual}: "
                f"set HUBSPOT_PORTAL_ID={actual}, or use a token of portal {self._portal_id}"
            )
        if self._id_property_name != EMAIL:
            await self._check_id_property()

    async def _check_id_property(self) -> None:
        found = await self._answered(self._id_property)
        if found.missing:
            raise NotProvisioned(
                f"HUBSPOT_ID_PROPERTY is {self._id_property_name}, and the portal has no such property: run `python -m "
                "hubspot_consumer provision --apply`, then `python -m hubspot_consumer provision --backfill`"
            )
        for fault in found.mismatches:
            if not fault.harmless:
                raise NotProvisioned(f"HUBSPOT_ID_PROPERTY: {fault.what}: {fault.remedy}")

    async def _id_property(self) -> Differences | Refusal:
        try:
            return await Provision(self._client).id_property()
        except ProvisionRefused as error:
            if not is_forbidden(error.refusal):
                return error.refusal
            log.warning("portal.not_checked", why=str(error))
            return Differences()

    async def choose(self, timeline: Timeline) -> None:
        """Set the mode of *timeline*: the value of HUBSPOT_TIMELINE or, for `auto`, the best that the portal takes."""
        timeline.automatic = self._timeline == "auto"
        timeline.mode = await self._best() if self._timeline == "auto" else self._timeline
        if self._timeline == "custom_events":
            # The answer decides nothing: it shows the client which properties the definitions have.
            await self._may_ask()
            await self._client.takes_custom_events()
        timeline.in_doubt = False
        log.info("timeline.mode", mode=timeline.mode, why=f"HUBSPOT_TIMELINE={self._timeline}")

    async def _best(self) -> TimelineMode:
        if await self._answered(self._client.takes_custom_events):
            return "custom_events"
        if await self._answered(self._client.takes_notes):
            return "notes"
        return "off"

    async def _answered(self, ask: Callable[[], Awaitable[Answer | Refusal]]) -> Answer:
        attempts = count(1)

        async def answered() -> Answer | Refusal:
            await self._may_ask()
            answer = await ask()
            if isinstance(answer, Halt | RetryLater | Rejected):
                log.warning("portal.no_answer", attempts=next(attempts), why=str(answer))
            return answer

        return await self._retries.until_answered(answered)
