"""The report: counts and refusals of a run, stored with its progress and printed at the end."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from hubspot_consumer.history.projection import Projection
from hubspot_consumer.history.store import EventStore
from hubspot_consumer.hubspot.client import CallMade
from hubspot_consumer.hubspot.outcomes import Rejected, Rejection
from hubspot_consumer.ordering.lane import ContactUpdate, Pending
from runtime.endings import CannotGoOn
from runtime.logs import logger
from schemas.contacts import ContactKey, contact_hash, masked

log = logger()

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
        words = {"contact": masked(self.contact), "contact_hash": contact_hash(self.contact)}
        return {**words, "reason": self.reason, "detail": self.detail, **where}


@dataclass
class Report:
    """Counts of one run, over all its processes. The run ends when HubSpot refuses more than *most_refused* times.

    `redriven` are the ids of the events that were dead letters and took effect.
    """

    most_refused: int
    contacts_written: int = 0
    contacts_suppressed: int = 0
    contacts_without_events: int = 0
    contacts_moved: int = 0
    timeline_entries: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    refused: list[Refused] = field(default_factory=list)
    redriven: set[str] = field(default_factory=set)
    _skipped: set[str] = field(default_factory=set)

    def count_call(self, call: CallMade) -> None:
        self.calls[f"{call.kind} {call.status}"] += 1

    def count_move(self) -> None:
        self.contacts_moved += 1

    def refuse(self, refused: Refused) -> None:
        """Record a final refusal. Raises TooManyRefused."""
        self._note(refused)
        by_hubspot = len(self.refused) - len(self._skipped)
        if by_hubspot > self.most_refused:
            raise TooManyRefused(
                f"HubSpot refused {by_hubspot} contacts or events, the last: {refused.detail}: correct the "
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
                self._note(Refused(projection.key, why, MAPPING_FAILED, event_id, envelope.type))

    async def reject(self, update: ContactUpdate, event: Pending, rejection: Rejected) -> None:
        """Record a timeline entry that HubSpot rejected. A worker would write a dead letter instead."""
        envelope = event.envelope
        named = (str(envelope.id), envelope.type) if envelope else ()
        self.refuse(Refused(update.lane.key, rejection.detail, rejection.reason, *named))

    def keep_in(self, store: EventStore, **facts: Any) -> None:
        """Store the report together with *facts*, such as the progress of writing, in one transaction."""
        store.keep(**facts, report=self._as_kept())

    def go_on_from(self, store: EventStore) -> None:
        """Load the counts of the run's earlier processes from the store."""
        kept: dict[str, Any] = store.fact("report", {})
        for name in _COUNTED:
            setattr(self, name, kept.get(name, 0))
        self.calls = Counter(kept.get("calls", {}))
        self.redriven = set(kept.get("redriven", []))
        self.refused += [Refused(**one) for one in kept.get("refused", [])]
        self._skipped = {one.event_id for one in self.refused if one.event_id and one.reason == MAPPING_FAILED}

    def as_json(self) -> Mapping[str, Any]:
        return {
            **{name: getattr(self, name) for name in _COUNTED},
            "calls": dict(sorted(self.calls.items())),
            "dead_letters_redriven": len(self.redriven),
            "refused": [refused.as_json() for refused in self.refused],
        }

    def _note(self, refused: Refused) -> None:
        log.warning(
            "reprocessing.refused",
            contact=contact_hash(refused.contact),
            reason=refused.reason,
            detail=refused.detail,
            event_id=refused.event_id,
            event_type=refused.event_type,
        )
        self.refused.append(refused)

    def _as_kept(self) -> dict[str, Any]:
        kept = {name: getattr(self, name) for name in _COUNTED}
        refused = [vars(refused) for refused in self.refused]
        return {**kept, "calls": dict(self.calls), "refused": refused, "redriven": sorted(self.redriven)}


_COUNTED: Final = (
    "contacts_written",
    "contacts_suppressed",
    "contacts_without_events",
    "contacts_moved",
    "timeline_entries",
)
