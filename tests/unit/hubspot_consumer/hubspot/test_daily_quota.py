"""The daily quota: what is left of it, as HubSpot's headers tell, until midnight in the portal's zone."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from hubspot_consumer.hubspot.daily_quota import DailyQuota
from tests.clock import OwnedClock

NEW_YORK = ZoneInfo("America/New_York")


def quota(clock: OwnedClock, remaining: int | str, limit: int = 1_000) -> DailyQuota:
    daily = DailyQuota(limit, clock)
    daily.keep_time_of(NEW_YORK)
    daily.observe({"X-HubSpot-RateLimit-Daily": str(limit), "X-HubSpot-RateLimit-Daily-Remaining": str(remaining)})
    return daily


def test_while_there_is_plenty_calls_are_not_spaced() -> None:
    assert quota(OwnedClock(), 501).spacing_s == 0


def test_the_second_half_lasts_until_the_portals_midnight_but_for_a_reserve() -> None:
    # The clock starts at midnight in UTC: 19:00 in New York.
    daily = quota(OwnedClock(), 320)

    assert daily.spacing_s == pytest.approx(5 * 3_600 / (320 - 20))
    assert daily.spent_until is None


def test_only_the_reserve_left_is_spent_until_the_portals_midnight_and_then_anew() -> None:
    clock = OwnedClock()
    daily = quota(clock, 20)
    assert daily.spent_until == datetime(2026, 11, 24, tzinfo=NEW_YORK)

    clock.advance(5 * 3_600)

    assert daily.spent_until is None
    assert daily.remaining == 1_000


def test_a_portal_whose_midnight_comes_later_than_ours_is_asked_again_soon() -> None:
    clock = OwnedClock()
    clock.advance(5 * 3_600 + 3)

    assert quota(clock, 0).spent_until == clock.now() + timedelta(minutes=1)


def test_without_headers_our_own_calls_are_counted() -> None:
    daily = DailyQuota(100, OwnedClock())
    for _ in range(60):
        daily.called()
    daily.observe({})

    assert daily.remaining == 40
    assert daily.spacing_s > 0


@pytest.mark.parametrize("remaining", ["", "many", "-1", "9" * 5_000])
def test_headers_that_make_no_sense_are_passed_over(remaining: str) -> None:
    assert quota(OwnedClock(), remaining).remaining == 1_000


def test_other_apps_of_the_account_count_too() -> None:
    daily = DailyQuota(1_000_000, OwnedClock())
    daily.observe({"X-HubSpot-RateLimit-Daily": "625000", "X-HubSpot-RateLimit-Daily-Remaining": "7"})

    assert (daily.limit, daily.remaining) == (625_000, 7)
    assert daily.spent_until is not None
