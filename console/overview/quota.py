"""The quota: the calls that HubSpot allows all workers in its window, and the account in a day."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hubspot_consumer.hubspot.daily_quota import RESERVE
from schemas.times import read_time


@dataclass(frozen=True)
class Quota:
    """The burst quota over all workers, and the account's daily quota, in calls."""

    limit: float
    window_s: float
    used: float
    daily_limit: float
    daily_remaining: float
    daily_resets_at: datetime | None

    @property
    def calls_per_s(self) -> float | None:
        """The calls that the burst quota allows in a second."""
        return self.limit / self.window_s if self.window_s > 0 else None

    @property
    def daily_usable(self) -> float:
        """The calls that workers may still make today: the rest of the account's, without the reserve."""
        return max(0.0, self.daily_remaining - self.daily_limit * RESERVE)


def quota_of(quotas: Sequence[Mapping[str, Any]]) -> Quota | None:
    """Return the quota that these workers report, each of its own calls and of the whole account."""
    if not quotas:
        return None
    resets_at = next((quota["daily_resets_at"] for quota in quotas if quota.get("daily_resets_at")), None)
    return Quota(
        limit=max(quota["limit"] for quota in quotas),
        window_s=max(quota["window_s"] for quota in quotas),
        used=sum(quota["used"] for quota in quotas),
        daily_limit=max(quota["daily_limit"] for quota in quotas),
        # Each worker reports the account's remainder as of its last call: the lowest is the newest until a reset.
        daily_remaining=min(quota["daily_remaining"] for quota in quotas),
        daily_resets_at=read_time(resets_at) if resets_at else None,
    )
