"""Progress: whether this worker finishes events while it has some to finish.

A worker may be a member of its group, reach HubSpot, and still do nothing, because of an unforeseen fault, which this
check finds. A worker that waits for a known reason makes no progress either, and is well.
"""

from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Final

from hubspot_consumer.delivery.dispatcher import Dispatcher
from hubspot_consumer.gates.circuit_breaker import CircuitBreaker
from hubspot_consumer.hubspot.rate_limiter import RateLimiter
from hubspot_consumer.kafka.lag import Lag
from hubspot_consumer.kafka.offsets import Offsets
from hubspot_consumer.ordering.lanes import Lanes
from runtime.clock import Clock
from runtime.health import Health

# The limit is longer than a call, a hole, a backoff and a rebalance together.
MOST_S: Final = 600.0
# Calls may be rarer than that while the rest of the daily quota is spread over the day, but that ends at midnight.
LONGEST_ADDITION_S: Final = 86_400.0
PART: Final = "progress"


class Progress:
    """Reports to *health*. *assigned* returns the assigned partitions; *rate_limiter* is None in a dry run."""

    def __init__(  # noqa: PLR0913 - the composition root wires each of them by name
        self,
        *,
        assigned: Callable[[], Collection[tuple[str, int]]],
        lag: Lag,
        offsets: Offsets,
        lanes: Lanes,
        delivery: Dispatcher,
        breaker: CircuitBreaker,
        rate_limiter: RateLimiter | None,
        health: Health,
        clock: Clock,
    ) -> None:
        self._assigned = assigned
        self._lag = lag
        self._offsets = offsets
        self._lanes = lanes
        self._delivery = delivery
        self._breaker = breaker
        self._rate_limiter = rate_limiter
        self._health = health
        self._clock = clock
        self._finished = self._ended = 0
        self._finished_at = self._ended_at = clock.monotonic()
        self.stuck: str | None = None

    def look(self) -> None:
        """Check for progress; called each time after the lag was read."""
        now = self._clock.monotonic()
        if not self._has_work or self._waits or self._offsets.finished != self._finished:
            self._finished_at = self._ended_at = now
        if self._delivery.calls_ended != self._ended or self._every_contact_waits:
            self._ended_at = now
        self._finished, self._ended = self._offsets.finished, self._delivery.calls_ended
        self._report(now)

    def cannot_tell(self) -> None:
        """Restart the time limits: without an answer of Kafka, the lag is not known."""
        self._finished_at = self._ended_at = self._clock.monotonic()
        self._report(self._finished_at)

    def _report(self, now: float) -> None:
        spacing_s = 0.0 if self._rate_limiter is None else self._rate_limiter.spacing_s
        most_s = MOST_S + min(2 * spacing_s, LONGEST_ADDITION_S)
        idle_s = now - self._finished_at
        if idle_s < most_s:
            self._health.well(PART)
        else:
            # The message is the same at each look, so that it is logged once.
            since = self._clock.now() - timedelta(seconds=idle_s)
            self._health.ill(
                PART, f"no event was finished since {since:%H:%M} UTC, although some are waiting: see /v1/status"
            )
        # While calls end, or none is due, the cause is in HubSpot's answers, and a restart would not help.
        self.stuck = self._health.unwell.get(PART) if now - self._ended_at >= most_s else None

    @property
    def _has_work(self) -> bool:
        return any(self._lag.of(topic, number) for topic, number in self._assigned())

    @property
    def _waits(self) -> bool:
        """Whether everything waits for a reason in `/v1/status`: a halt, or a run that holds all pending contacts."""
        if self._breaker.halted is not None:
            return True
        lanes = self._lanes
        return lanes.held > 0 and not (lanes.backing_off or lanes.holes or self._may_go)

    @property
    def _every_contact_waits(self) -> bool:
        """Whether all pending contacts, of which there are some, wait for a time: HubSpot may demand minutes."""
        lanes = self._lanes
        return lanes.backing_off + lanes.holes + lanes.held > 0 and not self._may_go

    @property
    def _may_go(self) -> bool:
        return self._lanes.can_run + self._lanes.unknown + self._delivery.calls_in_flight > 0
