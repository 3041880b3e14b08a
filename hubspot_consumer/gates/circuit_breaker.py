"""The halt: sending stops for a reason that has nothing to do with any one event, and resumes by itself.

A halt burns no event into dead letters. From time to time one call goes out as a probe; an answer opens the gate.
A pause is a halt that people begin and end: as long as it holds, no probe goes out either, whatever else halts.
"""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, assert_never

from hubspot_consumer.hubspot.outcomes import Delivered, Halt, HaltReason, Outcome, RetryLater
from runtime.clock import Clock
from runtime.logs import logger

log = logger()

FIRST_PROBE_S: Final = 2.0
LONGEST_PROBE_S: Final = 60.0
HALT_LOOK_EVERY_S: Final = 1.0
# An outage ends without anybody of ours at work: nobody should have to wait for us to notice.
LONGEST_PROBE_OF_OUTAGE_S: Final = 8.0
# So many calls in a row without an answer open the circuit: one fault in a hundred does not, an outage does at once.
FAILURES_OF_OUTAGE: Final = 5
# HubSpot answers, all the while.
_ENDED_BY_A_DELIVERY: Final = frozenset({"too_many_dead_letters", "portal_not_provisioned"})


@dataclass(frozen=True)
class Halted:
    """Why nothing is sent, since when, and when the next probe goes out: None in a pause."""

    reason: HaltReason
    detail: str
    since: datetime
    next_probe: datetime | None


@dataclass(frozen=True)
class Paused:
    """Since when somebody lets nothing be sent, who, and why."""

    since: datetime
    by: str
    note: str

    def __str__(self) -> str:
        return f"{self.since:%Y-%m-%d %H:%M %Z}{f' by {self.by}' if self.by else ''}: {self.note}"


class CircuitBreaker:
    """Closed by a `Halt` or by an outage, opened by the first answer that is neither; then *resumed* is called."""

    def __init__(self, clock: Clock, resumed: Callable[[], object] = lambda: None) -> None:
        self._clock = clock
        self._resumed = resumed
        self._halted: Halted | None = None
        self._probe_at = 0.0
        self._interval_s = 0.0
        self._failures = 0
        self._paused: Paused | None = None
        self._goes_on = asyncio.Event()
        self._goes_on.set()

    @property
    def halted(self) -> Halted | None:
        """Why nothing is sent now. In a pause that is the pause; see `behind`."""
        if (paused := self._paused) is not None:
            words = f"{paused.note} ({paused.by})" if paused.by else paused.note
            return Halted("paused", words, paused.since, None)
        return self._halted

    @property
    def behind(self) -> Halted | None:
        """What halts sending besides a pause, as far as it was known when it began."""
        return self._halted if self._paused is not None else None

    @property
    def paused(self) -> Paused | None:
        return self._paused

    def pause(self, paused: Paused) -> None:
        """Let nothing through before `go_on`, no probe either. What is said again replaces what was said."""
        if paused != self._paused:
            log.warning("delivery.paused", by=paused.by, note=paused.note, since=paused.since.isoformat())
        self._paused = paused
        self._goes_on.clear()

    def resume(self) -> None:
        """End a pause. What else halts is probed as soon as that is due."""
        if self._paused is None:
            return
        log.warning("delivery.resumed", reason="paused")
        self._paused = None
        self._goes_on.set()

    def record_all(self, outcomes: Collection[Outcome]) -> None:
        """Take the outcomes of one answer for what they say of HubSpot as a whole."""
        refusals = [outcome for outcome in outcomes if isinstance(outcome, RetryLater | Halt)]
        delivered = any(isinstance(outcome, Delivered) for outcome in outcomes)
        if delivered or len(refusals) < len(outcomes):
            self.record(None, delivered=delivered)
        elif refusals:
            self.record(refusals[0])

    def record(self, refusal: RetryLater | Halt | None, *, delivered: bool = False) -> None:
        """Take what a call was answered; None is an answer that refuses nothing, or nothing but what it was asked."""
        match refusal:
            case None:
                if self.answered(delivered=delivered):
                    self._resumed()
            case Halt():
                self.trip(refusal)
            case RetryLater():
                if refusal.outage:
                    self.failed(refusal.cause)
            case _:
                assert_never(refusal)

    def trip(self, halt: Halt) -> None:
        """Stop sending until a probe is answered. Several calls in flight that say the same count once."""
        now = self._clock.monotonic()
        if self._halted is not None and now < self._probe_at and halt.until is None:
            return
        # An outage that follows a refused token begins anew.
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

    def failed(self, cause: str) -> None:
        """Note a call that HubSpot did not answer, or answered with an error of its own."""
        self._failures += 1
        if self._failures >= FAILURES_OF_OUTAGE:
            self.trip(Halt("hubspot_unavailable", f"{self._failures} calls in a row failed, the last: {cause}"))

    def answered(self, *, delivered: bool = False) -> bool:
        """HubSpot answered, and with no reason to halt: send again. Return whether sending was halted until now."""
        self._failures = 0
        if self._halted is None or (self._halted.reason in _ENDED_BY_A_DELIVERY and not delivered):
            return False
        log.warning("delivery.resumed", reason=self._halted.reason)
        self._halted = None
        return True

    async def until_allowed(self) -> bool:
        """Return False when sending is allowed, or True when it is time for one call as a probe."""
        while True:
            await self._goes_on.wait()
            if self._halted is None:
                return False
            if (wait_s := self._probe_at - self._clock.monotonic()) <= 0:
                return True
            # A call that was in flight may open it earlier.
            await self._clock.sleep(min(wait_s, HALT_LOOK_EVERY_S))

    def _next_interval_s(self, halt: Halt, *, again: bool) -> float:
        if halt.until is not None:
            return max(0.0, (halt.until - self._clock.now()).total_seconds())
        longest_s = LONGEST_PROBE_OF_OUTAGE_S if halt.reason == "hubspot_unavailable" else LONGEST_PROBE_S
        return min(self._interval_s * 2, longest_s) if again else FIRST_PROBE_S
