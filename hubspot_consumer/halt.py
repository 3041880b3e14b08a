"""The halt: sending stops for a reason that has nothing to do with any one event, and resumes by itself.

A halt burns no event into dead letters. From time to time one call goes out as a probe; an answer opens the gate.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from hubspot_consumer.outcomes import Halt, HaltReason
from runtime.clock import Clock

log = structlog.get_logger()

FIRST_PROBE_S: Final = 2.0
LONGEST_PROBE_S: Final = 60.0


@dataclass(frozen=True)
class Halted:
    """Why nothing is sent, since when, and when the next probe goes out."""

    reason: HaltReason
    detail: str
    since: datetime
    next_probe: datetime


class HaltGate:
    """Closed by a `Halt`, opened by the first answer that is none."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._halted: Halted | None = None
        self._probe_at = 0.0
        self._interval_s = FIRST_PROBE_S

    @property
    def halted(self) -> Halted | None:
        return self._halted

    def close(self, halt: Halt) -> None:
        """Stop sending. Several calls in flight that say the same count once."""
        now = self._clock.monotonic()
        if self._halted is not None and now < self._probe_at:
            return
        self._interval_s = min(self._interval_s * 2, LONGEST_PROBE_S) if self._halted else FIRST_PROBE_S
        self._probe_at = now + self._interval_s
        self._halted = Halted(
            reason=halt.reason,
            detail=halt.detail,
            since=self._halted.since if self._halted else self._clock.now(),
            next_probe=self._clock.now() + timedelta(seconds=self._interval_s),
        )
        log.error("delivery.halted", reason=halt.reason, detail=halt.detail, next_probe_s=self._interval_s)

    def answered(self) -> None:
        """HubSpot answered, and with no reason to halt: send again."""
        if self._halted is not None:
            log.warning("delivery.resumed", reason=self._halted.reason)
            self._halted = None

    async def open(self) -> bool:
        """Return False when sending is allowed, or True when it is time for one call as a probe."""
        if self._halted is None:
            return False
        await self._clock.sleep(max(0.0, self._probe_at - self._clock.monotonic()))
        return self._halted is not None
