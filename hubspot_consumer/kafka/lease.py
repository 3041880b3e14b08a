"""The lease: for how long this worker may be sure that its partitions are its own.

A worker that was stopped and goes on, or that Kafka lost sight of, would write what another worker has overtaken:
HubSpot has no conditional write. So no call is made when the group's last sign is older than the lease, which ends well
before the group gives the partitions away, and a part of the quota with them.
"""

from typing import Final

from runtime.clock import Clock

# Of the 10 s after which the group takes a member for dead; the rest is for calls on their way.
LASTS_S: Final = 6.0
LEASE_LOOK_EVERY_S: Final = 0.1


class Lease:
    """Renewed by each of the group's signs; *valid* until the last one is too old."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._renewed_at: float | None = None

    def now(self) -> float:
        return self._clock.monotonic()

    def renew(self, at: float) -> None:
        """Take a sign of the group that was asked for at *at*, so that it may be a little older, and is no newer."""
        self._renewed_at = at

    async def until_valid(self) -> None:
        """Return when the group has been heard of again."""
        while not self.valid:
            await self._clock.sleep(LEASE_LOOK_EVERY_S)

    @property
    def valid(self) -> bool:
        return self._renewed_at is not None and self._clock.monotonic() - self._renewed_at < LASTS_S
