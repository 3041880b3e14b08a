"""The circuit breaker: it stops sending for a reason that no single event causes, and resumes sending by itself.

While it is open, sending is halted, and no event becomes a dead letter for that. When a probe is due it is half-open:
one call goes out, and an answer closes it. A pause is begun and ended by people; while it lasts, no probe goes out.
"""

import asyncio
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, assert_never

from hubspot_consumer.hubspot.outcomes import Delivered, Halt, HaltReason, Outcome, RetryLater
from runtime.clock import Clock
from runtime.logs import log

FIRST_PROBE_S: Final = 2.0
LONGEST_PROBE_S: Final = 60.0
HALT_LOOK_EVERY_S: Final = 1.0
# An outage ends without anyone's work on this side, so a short interval lets sending resume soon after it.
LONGEST_PROBE_OF_OUTAGE_S: Final = 8.0
# This many failed calls in a row trip the breaker: an outage reaches it at once, one fault in a hundred does not.
FAILURES_OF_OUTAGE: Final = 5
# HubSpot answers calls during these halts, so only a delivery ends them.
_ENDED_BY_A_DELIVERY: Final = frozenset({"too_many_dead_letters", "portal_not_provisioned"})


@dataclass(frozen=True)
class Halted:
    """The reason and the start of a halt, and the time of its next probe, which is None in a pause."""

    reason: HaltReason
    detail: str
    since: datetime
    next_probe: datetime | None


@dataclass(frozen=True)
class Paused:
    """The start of a pause, the person who began it, and their note."""

    since: datetime
    by: str
    note: str

    def __str__(self) -> str:
        return f"{self.since:%Y-%m-%d %H:%M %Z}{f' by {self.by}' if self.by else ''}: {self.note}"


class CircuitBreaker:
    """Opens at a `Halt` or an outage, and closes at the first answer that is neither; then *resumed* is called."""

    def __init__(self, clock: Clock, resumed: Callable[[], object] = lambda: None) -> None:
        self._clock = clock
        self._resumed = resumed
        self._halted: Halted | None = None
        self._probe_at = 0.0
        self._interval_s = 0.0
        self._failures = 0
        self.paused: Paused | None = None
        # The time at which people last ended a pause: they know of the events that were rejected before it.
        self.resumed_at = -math.inf
        self._goes_on = asyncio.Event()
        self._goes_on.set()

    @property
    def halted(self) -> Halted | None:
        """The reason why nothing is sent now, or None. During a pause it is the pause; see `behind`."""
        if (paused := self.paused) is not None:
            detail = f"{paused.note} ({paused.by})" if paused.by else paused.note
            return Halted("paused", detail, paused.since, None)
        return self._halted

    @property
    def behind(self) -> Halted | None:
        """The halt besides a pause, as it was last known, or None; always None without a pause."""
        return self._halted if self.paused is not None else None

    def pause(self, paused: Paused) -> None:
        """Send nothing until `resume`, not even probes. A second pause replaces the first."""
        if paused != self.paused:
            log.warning("delivery.paused", by=paused.by, note=paused.note, since=paused.since.isoformat())
        self.paused = paused
        self._goes_on.clear()

    def resume(self) -> None:
        """End a pause, and a halt for too many dead letters. In any other halt the probe goes out when it is due."""
        if self.paused is None:
            return
        log.warning("delivery.resumed", reason="paused")
        self.paused, self.resumed_at = None, self._clock.monotonic()
        self._goes_on.set()
        if self._halted is not None and self._halted.reason == "too_many_dead_letters":
            self._answered(delivered=True)

    def record_all(self, outcomes: Collection[Outcome]) -> None:
        """Record the outcomes of one answer as one result: refused only if every outcome is RetryLater or Halt."""
        refusals = [outcome for outcome in outcomes if isinstance(outcome, RetryLater | Halt)]
        delivered = any(isinstance(outcome, Delivered) for outcome in outcomes)
        if delivered or len(refusals) < len(outcomes):
            self.record(None, delivered=delivered)
        elif refusals:
            self.record(refusals[0])

    def record(self, refusal: RetryLater | Halt | None, *, delivered: bool = False) -> None:
        """Record the result of a call; None stands for an answer that is no RetryLater and no Halt."""
        match refusal:
            case None:
                self._answered(delivered=delivered)
            case Halt():
                self.trip(refusal)
            case RetryLater():
                if refusal.outage:
                    self._failed(refusal.detail)
            case _:
                assert_never(refusal)

    def trip(self, halt: Halt) -> None:
        """Open until a probe is answered. Further halts before the next probe are ignored, unless they set a time."""
        now = self._clock.monotonic()
        if self._halted is not None and now < self._probe_at and halt.until is None:
            return
        # A halt for another reason starts with the first probe interval.
        again = self._halted is not None and self._halted.reason == halt.reason
        self._interval_s = self._next_interval_s(halt, again=again)
        self._probe_at = now + self._interval_s
        self._halted = Halted(
            reason=halt.reason,
            detail=halt.detail,
            since=self._halted.since if self._halted and again else self._clock.now(),
            next_probe=self._clock.now() + timedelta(seconds=self._interval_s),
        )
        log.error(
            "delivery.halted",
            reason=halt.reason,
            detail=halt.detail,
            next_probe_s=round(self._interval_s, 1),
            correlation_id=halt.correlation_id,
        )

    def _failed(self, cause: str) -> None:
        """Count a call that HubSpot did not answer, or answered with a 5xx; trip after FAILURES_OF_OUTAGE in a row."""
        self._failures += 1
        if self._failures >= FAILURES_OF_OUTAGE:
            self.trip(Halt("hubspot_unavailable", f"{self._failures} calls in a row failed, the last: {cause}"))

    def _answered(self, *, delivered: bool) -> None:
        """Close, after an answer without a reason to halt."""
        self._failures = 0
        if self._halted is not None and (delivered or self._halted.reason not in _ENDED_BY_A_DELIVERY):
            log.warning("delivery.resumed", reason=self._halted.reason)
            self._halted = None
            self._resumed()

    async def until_allowed(self) -> bool:
        """Wait until a call may go out; return True if it is a probe, or False if the breaker is closed."""
        while True:
            await self._goes_on.wait()
            if self._halted is None:
                return False
            if (wait_s := self._probe_at - self._clock.monotonic()) <= 0:
                return True
            # The answer to a call in flight may close the breaker earlier.
            await self._clock.sleep(min(wait_s, HALT_LOOK_EVERY_S))

    def _next_interval_s(self, halt: Halt, *, again: bool) -> float:
        if halt.until is not None:
            return max(0.0, (halt.until - self._clock.now()).total_seconds())
        longest_s = LONGEST_PROBE_OF_OUTAGE_S if halt.reason == "hubspot_unavailable" else LONGEST_PROBE_S
        return min(self._interval_s * 2, longest_s) if again else FIRST_PROBE_S
