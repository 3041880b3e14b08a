"""Progress: whether this worker finishes anything while it has something to finish.

A worker may be a member of its group, reach HubSpot, and still do nothing, by a fault that nobody has thought of: this
is how it is found out. What waits for a reason that is known makes no progress either, and is well.
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

# Longer than a call, a hole, a backoff and a rebalance take, one after the other.
MOST_S: Final = 600.0
PART: Final = "progress"


class Progress:
    """Looks now and then, and tells *health*. *held* are the partitions of this worker; *pacing* None in a dry run."""

    def __init__(  # noqa: PLR0913 - the composition root wires each of them by name
        self,
        *,
        held: Callable[[], Collection[tuple[str, int]]],
        lag: Lag,
        offsets: Offsets,
        lanes: Lanes,
        delivery: Dispatcher,
        breaker: CircuitBreaker,
        rate_limiter: RateLimiter | None,
        health: Health,
        clock: Clock,
    ) -> None:
        self._held = held
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
        """Take how things stand, after the lag was read."""
        now = self._clock.monotonic()
        if not self._has_work or self._waits or self._offsets.finished != self._finished:
            self._finished_at = self._ended_at = now
        if self._delivery.calls_ended != self._ended or self._every_contact_waits:
            self._ended_at = now
        self._finished, self._ended = self._offsets.finished, self._delivery.calls_ended
        self._tell(now)

    def cannot_tell(self) -> None:
        """Begin anew: while Kafka does not answer, nobody knows what there is to finish."""
        self._finished_at = self._ended_at = self._clock.monotonic()
        self._tell(self._finished_at)

    def _tell(self, now: float) -> None:
        most_s = MOST_S if self._rate_limiter is None else MOST_S + 2 * self._rate_limiter.spacing_s
        idle_s = now - self._finished_at
        if idle_s < most_s:
            self._health.well(PART)
        else:
            # The same words at each look, of which one is logged.
            since = self._clock.now() - timedelta(seconds=idle_s)
            self._health.ill(
                PART, f"no event was finished since {since:%H:%M} UTC, although some are waiting: see /v1/status"
            )
        # As long as calls come back, or are not due, it is what HubSpot answers, which a restart does not mend.
        self.stuck = self._health.unwell.get(PART) if now - self._ended_at >= most_s else None

    @property
    def _has_work(self) -> bool:
        return any(self._lag.of(topic, number) for topic, number in self._held())

    @property
    def _waits(self) -> bool:
        """Whether nothing can go on for a reason that `/v1/status` tells: a halt, or a run that holds the contacts."""
        if self._breaker.halted is not None:
            return True
        lanes = self._lanes
        return lanes.held > 0 and not (lanes.backing_off or lanes.holes or self._may_go)

    @property
    def _every_contact_waits(self) -> bool:
        """Whether there are contacts, and each waits for its time: HubSpot may ask for minutes."""
        lanes = self._lanes
        return lanes.backing_off + lanes.holes + lanes.held > 0 and not self._may_go

    @property
    def _may_go(self) -> bool:
        return self._lanes.can_run + self._lanes.unknown + self._delivery.calls_in_flight > 0
