"""Where events are delivered: HubSpot, or nowhere in a dry run."""

from collections.abc import Sequence
from contextlib import nullcontext
from types import TracebackType
from typing import Protocol

import structlog

from hubspot_consumer.hubspot.requests import KnownContacts, TimelineEntry, Upsert
from hubspot_consumer.hubspot.responses import UpsertAnswer
from hubspot_consumer.outcomes import Delivered, Halt, Refusal
from schemas.contacts import ContactKey, contact_hash

log = structlog.get_logger()


class Slot(Protocol):
    """The right to make one call: a context for as long as the call takes, or given back unused."""

    def __enter__(self) -> object: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def give_back(self) -> None: ...


class Destination(Protocol):
    async def slot(self) -> Slot:
        """Return when one more call may be made."""

    def spent(self) -> Halt | None:
        """Return why no call may be made for the rest of the day, if that is so."""

    async def create(self, inputs: Sequence[Upsert]) -> UpsertAnswer:
        """Create up to 100 contacts, in a slot; one that exists is not written, and is rejected or unclear."""

    async def upsert(self, inputs: Sequence[Upsert]) -> UpsertAnswer:
        """Create or update up to 100 contacts, in a slot."""

    async def known_contacts(self, keys: Sequence[ContactKey]) -> KnownContacts | Refusal | None:
        """Return what is held of up to 100 contacts, in a slot; None where nobody can tell."""

    async def send(self, entries: Sequence[TimelineEntry]) -> Refusal | None:
        """Leave up to 500 timeline entries; needs no slot."""


class _FreeSlot(nullcontext[None]):
    def give_back(self) -> None:
        """Nothing was taken."""


class DryRun:
    """Logs what would be written and calls nothing."""

    async def slot(self) -> Slot:
        return _FreeSlot()

    def spent(self) -> None:
        return None

    async def create(self, inputs: Sequence[Upsert]) -> UpsertAnswer:
        return await self.upsert(inputs)

    async def upsert(self, inputs: Sequence[Upsert]) -> UpsertAnswer:
        for upsert in inputs:
            log.info("dry_run.upsert", contact=contact_hash(upsert.contact_key), properties=sorted(upsert.properties))
        return UpsertAnswer(outcomes={upsert.trace_id: Delivered("dry-run") for upsert in inputs})

    async def known_contacts(self, keys: Sequence[ContactKey]) -> None:  # noqa: ARG002 - nobody is asked
        return None

    async def send(self, entries: Sequence[TimelineEntry]) -> None:
        log.info("dry_run.timeline", entries=len(entries))
