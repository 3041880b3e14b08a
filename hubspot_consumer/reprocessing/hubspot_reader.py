"""What HubSpot holds: contacts with their properties, read in slots, whatever passes meanwhile."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final

from hubspot_consumer.gates.retries import Retries
from hubspot_consumer.hubspot.client import HubSpotClient
from hubspot_consumer.hubspot.outcomes import Refusal, Rejected, RetryLater
from hubspot_consumer.hubspot.requests import HeldContacts
from runtime.endings import CannotGoOn
from schemas.contacts import ContactKey

Ask = Callable[[], Awaitable[Refusal | None]]


class CannotRead(CannotGoOn):
    """HubSpot refuses to tell what it holds."""


class HubSpotReader:
    """Asks until HubSpot answers."""

    def __init__(self, client: HubSpotClient, retries: Retries) -> None:
        self._client: Final = client
        self._retries = retries

    async def contacts(self, keys: Sequence[ContactKey], names: Collection[str]) -> HeldContacts:
        """Return up to 100 contacts, each key with its contact or None. Raises CannotRead."""
        held: HeldContacts = {}

        async def ask() -> Refusal | None:
            with await self._client.slot():
                answer = await self._client.remote_contacts(keys, names)
            if not isinstance(answer, dict):
                return answer
            held.update(answer)
            left_out = [key for key in keys if key not in held]
            return RetryLater(f"HubSpot's answer leaves {len(left_out)} contacts out") if left_out else None

        await self.until_answered(ask)
        return held

    async def until_answered(self, ask: Ask) -> None:
        """Return when *ask* is refused nothing. Raises CannotRead."""

        async def readable() -> Refusal | None:
            refusal = await ask()
            if isinstance(refusal, Rejected):
                raise CannotRead(f"HubSpot does not say what it holds: {refusal.detail}")
            return refusal

        await self._retries.until_answered(readable)
