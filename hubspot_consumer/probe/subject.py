"""The subject: the probe's test contacts, its calls to the portal, and the answers that several questions share.

The contacts are marked by their emails, which are always the same: after a crash the next probe finds them by these.
Nobody can have an address at example.com, and HubSpot takes addresses there: it refuses unknown top-level domains.
"""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Final, Protocol

from hubspot_consumer.hubspot.outcomes import Halt, Refusal, Rejected, RetryLater
from hubspot_consumer.hubspot.paths import Paths
from hubspot_consumer.hubspot.remote_contacts import read_remote_contacts
from hubspot_consumer.hubspot.requests import HeldContacts, RemoteContact, Upsert
from hubspot_consumer.hubspot.schema import EMAIL
from hubspot_consumer.hubspot.status_codes import Answer
from hubspot_consumer.settings import TimelineSetting
from runtime.clock import Clock
from schemas.contacts import ContactKey

MAIN: Final = ContactKey("nerava-probe@example.com")
OTHER: Final = ContactKey("nerava-probe-other@example.com")
ADDITIONAL: Final = ContactKey("nerava-probe-additional@example.com")
VALID: Final = ContactKey("nerava-probe-valid@example.com")
INVALID: Final = ContactKey("nerava-probe-invalid@example.com")
UNKNOWN: Final = ContactKey("nerava-probe-unknown@example.com")
TWICE: Final = ContactKey("nerava-probe-twice@example.com")
KEYED: Final = ContactKey("nerava-probe-keyed@example.com")
# No top-level domain is called so.
MISTYPED: Final = ContactKey("nerava-probe@example.con")
EMAILS: Final = (MAIN, OTHER, ADDITIONAL, VALID, INVALID, UNKNOWN, KEYED, TWICE, MISTYPED)
BY_PROPERTY: Final = (MAIN, KEYED)
"""The contact keys that are upserted by HUBSPOT_ID_PROPERTY."""

NOT_ASKED: Final = RetryLater("the call whose answer tells it was not made")
NAMES: Final[Mapping[str, str]] = {"firstname": "Nerava probe", "lastname": "(a test, may be deleted)"}
"""The properties of every test contact."""


class Ask(Protocol):
    def __call__(
        self, path: str, body: Mapping[str, Any] | None = None, parameters: Mapping[str, str] | None = None
    ) -> Awaitable[Answer]:
        """Make one call, a POST of *body* or a GET without one, and return HubSpot's answer."""


class Subject:
    """The test contacts of one probe, in the portal that *ask* reaches.

    `account` is the answer about the portal, `looked` and `written` are those to the first read and the first write of
    the test contacts, `mixed` is that to a call with a valid and an invalid input. `ids` are HubSpot's ids of the
    contacts, and `notes` those of the created notes. `not_by_property` is why nothing can be asked about
    *id_property*; None if the portal has that property, and contacts are found by it.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what identifies the portal, and the settings that are asked about
        self,
        ask: Ask,
        paths: Paths,
        portal_id: int,
        timeline: TimelineSetting,
        clock: Clock,
        id_property: str = EMAIL,
    ) -> None:
        self.ask: Final = ask
        self.paths: Final = paths
        self.portal_id: Final = portal_id
        self.timeline: Final = timeline
        self.clock: Final = clock
        self.id_property: Final = id_property
        self.not_by_property = f"not asked: HUBSPOT_ID_PROPERTY is {EMAIL}" if id_property == EMAIL else None
        self._emails: Sequence[ContactKey] = EMAILS
        self.account: Answer = NOT_ASKED
        self.looked: Answer = NOT_ASKED
        self.written: Answer = NOT_ASKED
        self.mixed: Answer = NOT_ASKED
        self.ids: dict[ContactKey, str] = {}
        self.notes: set[str] = set()

    async def read(self, keys: Sequence[ContactKey], *names: str, by: str = EMAIL) -> Answer:
        """Read contacts by email, or another unique property, with the properties *names*."""
        body = {
            "idProperty": by,
            "properties": [EMAIL, "hs_additional_emails", *names],
            "inputs": [{"id": key} for key in keys],
        }
        return await self.ask(f"{self.paths.contacts}/batch/read", body)

    async def look(self) -> list[RemoteContact] | Refusal:
        """Return the contacts that the portal has by the test contacts' emails, or as values of HUBSPOT_ID_PROPERTY."""
        by_email = await self._looked_by_email()
        if not isinstance(by_email, dict):
            return by_email
        by_property = await self._looked_by_property()
        if not isinstance(by_property, dict):
            return by_property
        return [contact for contact in (*by_email.values(), *by_property.values()) if contact is not None]

    async def _looked_by_email(self) -> HeldContacts | Refusal:
        """Return the contacts with one of the emails. The first answer stays in `looked`."""
        answer = await self.read(self._emails)
        self.looked = answer if self.looked is NOT_ASKED else self.looked
        found = read_remote_contacts(answer, self._emails)
        if isinstance(found, Rejected) and self._emails == EMAILS:
            # A portal may refuse to look for an address that can't exist, and then has none.
            self._emails = EMAILS[:-1]
            return await self._looked_by_email()
        return found

    async def _looked_by_property(self) -> HeldContacts | Refusal:
        """Return the contacts with one of the values: nothing else finds one that was written without an email."""
        if self.not_by_property is not None:
            return {}
        found = await self.read_by_property(BY_PROPERTY)
        if isinstance(found, Rejected) or (isinstance(found, Halt) and found.reason == "portal_not_provisioned"):
            self.not_by_property = f"not asked: no contact can be read by {self.id_property}: {found.detail}"
            return {}
        return found

    async def read_by_property(self, keys: Sequence[ContactKey]) -> HeldContacts | Refusal:
        """Return contacts by their values of HUBSPOT_ID_PROPERTY."""
        answer = await self.read(keys, self.id_property, by=self.id_property)
        return read_remote_contacts(answer, keys, self.id_property)

    async def upsert(self, *inputs: Upsert) -> Answer:
        """Create or update contacts by email."""
        # By email, whatever else the client may be set to find contacts by.
        return await self._batch("upsert", [one.body() for one in inputs])

    async def upsert_by_property(self, one: Upsert) -> Answer:
        """Create or update a contact by HUBSPOT_ID_PROPERTY, as workers with that setting do."""
        return await self._batch("upsert", [one.body(self.id_property)])

    async def update(self, one: Upsert) -> Answer:
        """Update a contact by HubSpot's id. Unlike an upsert by email, HubSpot documents that it may be partial."""
        return await self._batch("update", [one.update()])

    async def archive(self, kind: str, ids: Sequence[str]) -> Answer:
        """Delete contacts, or notes, as people do: HubSpot's recycling bin has contacts for 90 days."""
        return await self.ask(f"{kind}/batch/archive", {"inputs": [{"id": one} for one in ids]})

    async def _batch(self, action: str, inputs: Sequence[Mapping[str, object]]) -> Answer:
        return await self.ask(f"{self.paths.contacts}/batch/{action}", {"inputs": inputs})


def whole(trace_id: str, key: ContactKey, **more: str) -> Upsert:
    """Return the upsert of a test contact with all its properties."""
    return Upsert(trace_id, key, {**NAMES, **more})
