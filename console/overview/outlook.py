"""The outlook: whether the workers keep up, when a backlog will be delivered, and whether the calls of the day last."""

from dataclasses import dataclass
from datetime import datetime
from math import inf
from typing import Final, Literal

from console.overview.flow import Flow
from console.overview.past.history import Recent
from console.overview.quota import Quota

# A backlog that takes longer than this at the present rate is worth a word; a shorter one is the usual traffic.
BEHIND_S: Final = 60.0
# Fewer waiting events are no backlog, however slowly they go.
FEW: Final = 100

CapacityFrom = Literal["now", "most", "quota"]
"""Where the capacity is known from: the present backlog, the most of the last day, or the quota at today's calls."""


@dataclass(frozen=True)
class Daily:
    """The calls of the day: those that are needed until `resets_at` at the usual rate, and those that are left."""

    needed: float
    left: float
    resets_at: datetime
    # The seconds after which none is left; None if they last.
    spent_in_s: float | None

    @property
    def lasts(self) -> bool:
        return self.spent_in_s is None


@dataclass(frozen=True)
class Outlook:
    """What comes, at the present rates. Rates are events per second, spans in seconds; None is unknown.

    `caught_up_in_s` is 0 without a backlog, and infinite if the backlog does not shrink.
    """

    waiting: float | None = None
    # Whether more may wait than are counted.
    waiting_at_least: bool = False
    arriving_per_s: float | None = None
    capacity_per_s: float | None = None
    capacity_from: CapacityFrom = "now"
    is_behind: bool = False
    caught_up_in_s: float | None = None
    sends: bool = True
    daily: Daily | None = None

    @property
    def grows(self) -> bool:
        """Whether the backlog never ends at the present rates."""
        return self.caught_up_in_s == inf


def outlook(flow: Flow, recent: Recent) -> Outlook:
    """Return the outlook of this moment."""
    is_behind = _is_much(flow.waiting, flow)
    # Only what is on Kafka keeps workers busy: what waits in the outbox does not reach them.
    capacity, known_from = _capacity(flow, recent, busy=flow.sends and _is_much(flow.lag, flow))
    return Outlook(
        waiting=flow.waiting,
        waiting_at_least=flow.outbox_is_large,
        arriving_per_s=recent.arriving_per_s,
        capacity_per_s=capacity,
        capacity_from=known_from,
        is_behind=is_behind,
        caught_up_in_s=_caught_up(flow.waiting or 0.0, recent, capacity) if is_behind else 0.0,
        sends=flow.sends,
        daily=_daily(flow, recent),
    )


def _is_much(events: float | None, flow: Flow) -> bool:
    return (events or 0.0) > max(FEW, (flow.delivered_per_s or 0.0) * BEHIND_S)


def _capacity(flow: Flow, recent: Recent, *, busy: bool) -> tuple[float | None, CapacityFrom]:
    """Return the events that the workers can deliver in a second, as far as that was seen, and where it is known from.

    While they are busy with a backlog, it is what they deliver now.
    """
    if busy:
        return flow.delivered_per_s, "now"
    per_s = flow.quota.calls_per_s if flow.quota else None
    by_quota = per_s * flow.events_per_call if per_s is not None and flow.events_per_call else None
    most = recent.most_delivered_per_s
    if most and most >= (by_quota or 0.0):
        return most, "most"
    return by_quota, "quota"


def _caught_up(waiting: float, recent: Recent, capacity: float | None) -> float | None:
    arriving, risen = recent.arriving_per_s, recent.waiting_risen_per_s
    if capacity is None or arriving is None:
        return None
    if capacity > arriving:
        return waiting / (capacity - arriving)
    # What arrives is a mean of more minutes: after a burst, it is more than arrives now, and what waits falls.
    return waiting / -risen if risen is not None and risen < 0 else inf


def _daily(flow: Flow, recent: Recent) -> Daily | None:
    quota = flow.quota
    # The present rate would count a backlog's calls until midnight, also when it is nearly gone.
    usual = recent.calls_per_s if recent.usual_calls_per_s is None else recent.usual_calls_per_s
    if quota is None or quota.daily_resets_at is None or usual is None:
        return None
    until_s = max(0.0, (quota.daily_resets_at - flow.at).total_seconds())
    per_event = _calls_per_event(flow, recent)
    # What waits needs calls once, on top of the usual ones.
    backlog = (flow.waiting or 0.0) * per_event
    needed, left = usual * until_s + backlog, quota.daily_usable
    if needed <= left and flow.outbox_is_large:
        return None
    return Daily(needed, left, quota.daily_resets_at, None if needed <= left else _spent(quota, usual, backlog))


def _calls_per_event(flow: Flow, recent: Recent) -> float:
    if recent.calls_per_s and recent.delivered_per_s:
        return recent.calls_per_s / recent.delivered_per_s
    return 1 / flow.events_per_call if flow.events_per_call else 0.0


def _spent(quota: Quota, usual: float, backlog: float) -> float:
    return max(0.0, (quota.daily_usable - backlog) / usual) if usual else 0.0
