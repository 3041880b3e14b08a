"""The reader of remote contacts with their properties, within the quota; it waits out temporary failures."""

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
    """HubSpot rejects the requests that read contacts."""


class HubSpotReader:
    """Repeats requests until HubSpot answers them."""

    def __init__(self, client: HubSpotClient, retries: Retries) -> None:
        self._client: Final = client
        self._retries = retries

    async def contacts(self, keys: Sequence[ContactKey], names: Collection[str]) -> HeldContacts:
        """Return the remote contacts of up to 100 keys, None for a key without one. Raises CannotRead."""
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
        """Call *ask* until it returns no refusal. Raises CannotRead when it returns Rejected."""

        async def readable() -> Refusal | None:
            refusal = await ask()
            if isinstance(refusal, Rejected):
                raise CannotRead(f"HubSpot does not say what it holds: {refusal.detail}")
            return refusal

        await self._retries.until_answered(readable)
