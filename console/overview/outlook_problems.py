"""The problems of the outlook: a backlog, and calls of the day that will not last."""

from collections.abc import Iterable
from math import inf
from typing import Final

from console.overview.flow import Flow
from console.overview.outlook import Outlook
from console.overview.problem import Problem

# As the alert DailyQuotaLow.
LOW_SHARE: Final = 0.1
# As the runbook says of the alert LagGrows.
GROWS: Final = (
    "If the burst quota is used up, more events arrive than HubSpot allows: ask for a higher limit. If not, look at the"
    " latency, at slow workers, and at what contacts wait for."
)


def behind(outlook: Outlook) -> Iterable[Problem]:
    if not outlook.is_behind:
        return
    count = f"{'At least ' if outlook.waiting_at_least else ''}{outlook.waiting or 0:,.0f} events"
    yield Problem(
        "behind",
        "kafka",
        "bad" if outlook.sends and outlook.grows else "warn",
        "Behind",
        f"{count} wait. {_when_caught_up(outlook)}.",
        GROWS if outlook.grows else "",
        "#keeping-up",
        "See the rates",
    )


def _when_caught_up(outlook: Outlook) -> str:
    arriving, capacity = outlook.arriving_per_s, outlook.capacity_per_s
    match outlook.caught_up_in_s:
        case None:
            return "When they will be delivered is not known yet"
        case float() as seconds if seconds == inf:
            why = f"{arriving:,.1f} events/s arrive, and {capacity:,.1f} events/s can be delivered"
            return f"They do not get fewer: {why}"
        case seconds:
            when = f"Caught up in about {span(seconds)}"
            return f"{when} at this rate" if outlook.sends else f"{when} once sending goes on"


def daily_calls(flow: Flow, outlook: Outlook) -> Iterable[Problem]:
    quota, daily = flow.quota, outlook.daily
    if daily is not None and not daily.lasts:
        yield Problem(
            "daily_calls",
            "hubspot",
            "warn",
            "The calls of the day will not last",
            f"At the usual rate they are spent in {span(daily.spent_in_s or 0.0)}, and the portal's new day begins in"
            f" {span((daily.resets_at - flow.at).total_seconds())}.",
            "Workers spread what is left over the day. Find out which other app spends calls, or ask for more.",
            "#keeping-up",
            "See the rates",
        )
    elif quota is not None and quota.daily_remaining < quota.daily_limit * LOW_SHARE:
        yield Problem(
            "daily_calls",
            "hubspot",
            "warn",
            "Few calls of the day are left",
            f"{quota.daily_remaining:,.0f} of {quota.daily_limit:,.0f} calls are left.",
            "Workers spread them over the rest of the day.",
        )


def span(seconds: float) -> str:
    """Return a span in words, rounded, in the unit that people would say."""
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{seconds:,.0f} seconds" if seconds >= 2 else "a second"
