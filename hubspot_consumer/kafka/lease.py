"""The lease: how long this worker may assume that no other worker has been assigned its partitions.

A worker that was suspended and goes on, or that lost its connection to Kafka, could overwrite contacts with older
values than another worker has written: HubSpot has no conditional write. So no call is made when the group's last
answer is older than the lease, which ends well before the group reassigns the partitions and their part of the quota.
"""

from typing import Final

from runtime.clock import Clock

# The group removes a silent member after 10 s (`SESSION_TIMEOUT_S`); the other 4 s are for calls in flight.
LASTS_S: Final = 6.0
LEASE_LOOK_EVERY_S: Final = 0.1


class Lease:
    """Renewed by each of the group's answers; `valid` until the last one is older than LASTS_S."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._renewed_at: float | None = None

    def now(self) -> float:
        return self._clock.monotonic()

    def renew(self, at: float) -> None:
        """Renew from *at* on, the time of the request that the group answered: so the lease never ends too late."""
        self._renewed_at = at

    async def until_valid(self) -> None:
        """Wait until the lease is renewed."""
        while not self.valid:
            await self._clock.sleep(LEASE_LOOK_EVERY_S)

    @property
    def valid(self) -> bool:
        return self._renewed_at is not None and self._clock.monotonic() - self._renewed_at < LASTS_S
