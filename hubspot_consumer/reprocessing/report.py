"""The report: counts and refusals of a run, stored with its progress and printed at the end."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, Field, PrivateAttr

from hubspot_consumer.history.projection import Projection
from hubspot_consumer.hubspot.connection import CallMade
from hubspot_consumer.hubspot.outcomes import Rejected, Rejection
from hubspot_consumer.ordering.lane import ContactUpdate
from hubspot_consumer.ordering.pending import Pending
from runtime.endings import CannotGoOn
from runtime.logs import log
from schemas.contacts import ContactKey, contact_hash, named
from schemas.envelope import Envelope

MAPPING_FAILED: Final[Rejection] = "mapping_failed"


class TooManyRefused(CannotGoOn):
    """HubSpot refuses so much that the mapping or the portal must be broken, not single contacts."""


@dataclass(frozen=True)
class Refused:
    """A contact, or one event of it, that HubSpot refused or that can't be mapped."""

    contact: ContactKey
    detail: str
    reason: str
    event_id: str | None = None
    event_type: str | None = None

    def as_json(self) -> dict[str, Any]:
        where = {"event_id": self.event_id, "event_type": self.event_type} if self.event_id else {}
        words = named(self.contact)
        return {**words, "reason": self.reason, "detail": self.detail, **where}


class Report(BaseModel):
    """Counts of one run, over all its processes. The run ends when HubSpot refuses more than `most_refused` times.

    All fields but the limit are stored with the run. `redriven` are the ids of the events that were dead letters and
    took effect.
    """

    most_refused: int = Field(exclude=True)
    contacts_written: int = 0
    contacts_suppressed: int = 0
    contacts_without_events: int = 0
    contacts_moved: int = 0
    timeline_entries: int = 0
    calls: Counter[str] = Counter()
    refused: list[Refused] = []
    redriven: set[str] = set()
    # The ids of the events that can't be mapped.
    _skipped: set[str] = PrivateAttr(default_factory=set)

    def model_post_init(self, _context: Any) -> None:
        self._skipped = {one.event_id for one in self.refused if one.event_id and one.reason == MAPPING_FAILED}

    def count_call(self, call: CallMade) -> None:
        self.calls[f"{call.kind} {call.status}"] += 1

    def count_move(self) -> None:
        self.contacts_moved += 1

    def refuse(self, contact: ContactKey, rejection: Rejected, event: Envelope | None = None) -> None:
        """Record the final refusal of a contact, or of one *event* of it. Raises TooManyRefused."""
        self._record(contact, rejection, event)
        by_hubspot = len(self.refused) - len(self._skipped)
        if by_hubspot > self.most_refused:
            raise TooManyRefused(
                f"HubSpot refused {by_hubspot} contacts or events, the last: {rejection.detail}: correct the "
                "mapping or the portal (`provision` names what it lacks), then run the same command again to continue"
            )

    def skip(self, projection: Projection) -> None:
        """Record the events of a contact that can't be mapped, each once; the run continues without them.

        At most *most_refused* such events are recorded; the plan counts them all.
        """
        for envelope, why in projection.unmapped:
            event_id = str(envelope.id)
            if event_id not in self._skipped and len(self._skipped) < self.most_refused:
                self._skipped.add(event_id)
                self._record(projection.key, Rejected(MAPPING_FAILED, why), envelope)

    async def reject(self, update: ContactUpdate, event: Pending, rejection: Rejected) -> None:
        """Record a timeline entry that HubSpot rejected. A worker would write a dead letter instead."""
        self.refuse(update.lane.key, rejection, event.envelope)

    def as_json(self) -> Mapping[str, Any]:
        return {
            **self.model_dump(exclude={"calls", "refused", "redriven"}),
            "calls": dict(sorted(self.calls.items())),
            "dead_letters_redriven": len(self.redriven),
            "refused": [refused.as_json() for refused in self.refused],
        }

    def _record(self, contact: ContactKey, rejection: Rejected, event: Envelope | None) -> None:
        named = (str(event.id), event.type) if event is not None else ()
        refused = Refused(contact, rejection.detail, rejection.reason, *named)
        log.warning(
            "reprocessing.refused",
            contact=contact_hash(refused.contact),
            reason=refused.reason,
            detail=refused.detail,
            event_id=refused.event_id,
            event_type=refused.event_type,
        )
        self.refused.append(refused)
