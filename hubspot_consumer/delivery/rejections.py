"""Rejections: an event that HubSpot rejects for good, or that can't be mapped, becomes a dead letter, up to a limit.

The limit keeps a broken mapping, a change in the portal or a restored outbox from turning a whole topic into dead
letters. Once people have paused and resumed sending, as many again may be rejected.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from hubspot_consumer.dead_letters.writer import DeadLetterWriter
from hubspot_consumer.delivery.receipts import Receipts
from hubspot_consumer.gates.circuit_breaker import CircuitBreaker
from hubspot_consumer.hubspot.outcomes import Halt, Rejected
from hubspot_consumer.ordering.lane import ContactUpdate
from hubspot_consumer.ordering.pending import Pending
from runtime.clock import Clock
from runtime.logs import log
from schemas.contacts import ContactKey

HOUR_S: Final = 3_600.0
BUCKET_S: Final = 60.0
# Share of the last hour's events that may be rejected.
MOST_SHARE: Final = 0.01
SEQUENCE_REUSED: Final = Rejected("sequence_reused", "another event of the contact has the sequence")


@dataclass
class _Minute:
    begins: float
    delivered: int = 0
    rejected: set[ContactKey | str] = field(default_factory=set)


class Rejections:
    """Counts the last hour's events, those of one contact that HubSpot refused as one.

    The limit is *least* rejected ones, or MOST_SHARE of all if that is more.
    """

    def __init__(
        self,
        least: int,
        dead_letters: DeadLetterWriter,
        breaker: CircuitBreaker,
        clock: Clock,
        receipts: Receipts,
    ) -> None:
        self._least: Final = least
        self._dead_letters = dead_letters
        self._breaker = breaker
        self._clock = clock
        self._receipts = receipts
        self._minutes: deque[_Minute] = deque()

    async def reject(self, update: ContactUpdate, event: Pending, rejection: Rejected) -> Halt | None:
        """Write *event* to the dead letters; if there are too many of late, trip the breaker and return the halt."""
        if self.too_many:
            detail = f"{self.last_hour} events rejected within an hour; and now {rejection.reason}: {rejection.detail}"
            halt = Halt("too_many_dead_letters", detail)
            self._breaker.trip(halt)
            return halt
        # What HubSpot refuses of one contact again and again is one contact's trouble. Our own faults are everybody's.
        of_contact = rejection.reason in ("rejected_by_hubspot", "timeline_entry_rejected")
        self._minute().rejected.add(update.lane.key if of_contact else event.record.place)
        log.warning(
            "delivery.rejected",
            **event.log_fields,
            reason=rejection.reason,
            detail=rejection.detail,
            correlation_id=rejection.correlation_id,
        )
        await self._dead_letters.put(event.record, rejection.reason, rejection.detail, update.lane.attempts + 1)
        self._receipts.rejected(event, update.lane, rejection)
        update.set_aside.append(event)
        return None

    def delivered(self, events: int) -> None:
        self._minute().delivered += events

    @property
    def last_hour(self) -> int:
        """Events rejected within the last hour; those of one contact that HubSpot refused count once."""
        self._minute()
        return len(set[ContactKey | str]().union(*(minute.rejected for minute in self._minutes)))

    @property
    def too_many(self) -> bool:
        rejected = self.last_hour
        events = rejected + sum(minute.delivered for minute in self._minutes)
        return rejected >= max(self._least, MOST_SHARE * events)

    def _minute(self) -> _Minute:
        now, resumed_at = self._clock.monotonic(), self._breaker.resumed_at
        while self._minutes and (self._minutes[0].begins <= now - HOUR_S or self._minutes[0].begins < resumed_at):
            self._minutes.popleft()
        if not self._minutes or self._minutes[-1].begins <= now - BUCKET_S:
            self._minutes.append(_Minute(now))
        return self._minutes[-1]
