"""The reader of remote contacts with their properties, within the quota; it waits out temporary failures."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final, TypeVar

from hubspot_consumer.gates.retries import Retries
from hubspot_consumer.hubspot.client import HubSpotClient
from hubspot_consumer.hubspot.outcomes import Refusal, Rejected, RetryLater
from hubspot_consumer.hubspot.requests import HeldContacts
from runtime.endings import CannotGoOn
from schemas.contacts import ContactKey

Answer = TypeVar("Answer")


class CannotRead(CannotGoOn):
    """HubSpot rejects the requests that read contacts."""


class HubSpotReader:
    """Repeats requests until HubSpot answers them."""

    def __init__(self, client: HubSpotClient, retries: Retries) -> None:
        self._client: Final = client
        self._retries = retries

    async def contacts(self, keys: Sequence[ContactKey], names: Collection[str]) -> HeldContacts:
        """Return the remote contacts of up to 100 keys, None for a key without one. Raises CannotRead."""
        found: HeldContacts = {}

        async def ask() -> HeldContacts | Refusal:
            answer = await self._client.remote_contacts(keys, names)
            if not isinstance(answer, dict):
                return answer
            found.update(answer)
            left_out = [key for key in keys if key not in found]
            return RetryLater(f"HubSpot's answer leaves {len(left_out)} contacts out") if left_out else found

        return await self.until_answered(ask)

    async def until_answered(self, ask: Callable[[], Awaitable[Answer | Refusal]]) -> Answer:
        """Return the first answer to *ask* that is no refusal. Raises CannotRead when HubSpot rejects the request."""

        async def readable() -> Answer | Refusal:
            answer = await ask()
            if isinstance(answer, Rejected):
                raise CannotRead(f"HubSpot does not say what it holds: {answer.detail}")
            return answer

        return await self._retries.until_answered(readable)
