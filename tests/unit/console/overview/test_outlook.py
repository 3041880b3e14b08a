"""The outlook: whether the workers keep up, when a backlog is gone, and whether the calls of the day last."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.overview.flow import Flow
from console.overview.outlook import BEHIND_S, FEW, outlook
from console.overview.outlook_problems import behind
from console.overview.past.history import MINUTE_S, History, Recent, Sample
from console.overview.quota import Quota
from console.overview.workers import WorkerFigures

AT = datetime(2026, 11, 24, 18, tzinfo=UTC)
QUOTA = Quota(100, 10, 7, 250_000, 200_000, AT + timedelta(hours=6))
WORKER = WorkerFigures("worker x", mode="live")
LIVE = Flow(at=AT, lag=0, outbox_rows=0, one_by_one=(WORKER,), delivered_per_s=40, quota=QUOTA, events_per_call=2)
RATES = st.floats(0, 10_000)


def test_a_backlog_says_when_it_will_be_gone() -> None:
    found = outlook(replace(LIVE, lag=12_000, delivered_per_s=62), Recent(arriving_per_s=40))

    assert found.is_behind
    assert found.caught_up_in_s == pytest.approx(12_000 / 22)
    [problem] = behind(found)
    assert problem.words == "12,000 events wait. Caught up in about 9 minutes at this rate."
    assert problem.level == "warn"


def test_a_backlog_that_grows_says_so() -> None:
    found = outlook(replace(LIVE, lag=12_000, delivered_per_s=40), Recent(arriving_per_s=80))

    assert found.caught_up_in_s == inf
    [problem] = behind(found)
    assert problem.words.startswith("12,000 events wait. They do not get fewer: 80.0 events/s arrive")
    assert problem.level == "bad"


@pytest.mark.parametrize(("risen", "level"), [(-40, "warn"), (40, "bad"), (0, "bad"), (None, "bad")])
def test_a_backlog_that_falls_since_a_burst_is_over_does_not_grow(risen: float | None, level: str) -> None:
    recent = Recent(arriving_per_s=80, waiting_risen_per_s=risen)

    found = outlook(replace(LIVE, lag=12_000, delivered_per_s=40), recent)

    assert found.caught_up_in_s == (300 if level == "warn" else inf)
    assert [problem.level for problem in behind(found)] == [level]


def test_workers_are_not_busy_with_what_the_relay_does_not_publish() -> None:
    idle = replace(LIVE, lag=0, outbox_rows=5_000, delivered_per_s=0, events_per_call=None)

    found = outlook(idle, Recent(arriving_per_s=0, most_delivered_per_s=60))

    assert (found.is_behind, found.capacity_per_s, found.capacity_from) == (True, 60, "most")
    [problem] = behind(found)
    assert problem.level == "warn"


def test_a_backlog_during_a_pause_counts_from_when_sending_goes_on_at_what_was_possible_before() -> None:
    halted = replace(
        LIVE, lag=12_000, delivered_per_s=0, events_per_call=None, one_by_one=(replace(WORKER, halt="paused"),)
    )

    found = outlook(halted, Recent(arriving_per_s=40, most_delivered_per_s=60))

    assert (found.capacity_per_s, found.capacity_from, found.caught_up_in_s) == (60, "most", 600)
    [problem] = behind(found)
    assert problem.words == "12,000 events wait. Caught up in about 10 minutes once sending goes on."


@pytest.mark.parametrize(
    ("most", "capacity", "known_from"), [(60, 60, "most"), (5, 20, "quota"), (None, 20, "quota"), (20, 20, "most")]
)
def test_without_a_backlog_the_capacity_is_the_most_that_is_known(
    most: float | None, capacity: float, known_from: str
) -> None:
    found = outlook(LIVE, Recent(arriving_per_s=40, most_delivered_per_s=most))

    assert (found.capacity_per_s, found.capacity_from) == (capacity, known_from)
    assert (found.is_behind, found.caught_up_in_s) == (False, 0)


@given(waiting=st.integers(0, 10**7), arriving=RATES, delivered=RATES, more=RATES)
def test_more_arrivals_never_let_a_backlog_end_sooner(
    waiting: int, arriving: float, delivered: float, more: float
) -> None:
    flow = replace(LIVE, lag=waiting, delivered_per_s=delivered)

    one, other = (outlook(flow, Recent(arriving_per_s=rate)) for rate in (arriving, arriving + more))

    assert one.is_behind == other.is_behind == (waiting > max(FEW, delivered * BEHIND_S))
    assert one.caught_up_in_s is not None
    assert other.caught_up_in_s is not None
    assert 0 <= one.caught_up_in_s <= other.caught_up_in_s
    if one.is_behind:
        assert one.grows == (delivered <= arriving)


@given(
    left=st.integers(0, 500_000), calls=RATES, delivered=RATES, waiting=st.integers(0, 10**6), hours=st.floats(0, 24)
)
def test_calls_of_the_day_that_do_not_last_are_spent_before_the_portals_midnight(
    left: int, calls: float, delivered: float, waiting: int, hours: float
) -> None:
    quota = replace(QUOTA, daily_remaining=left, daily_resets_at=AT + timedelta(hours=hours))

    daily = outlook(replace(LIVE, lag=waiting, quota=quota), Recent(1, delivered, calls)).daily

    assert daily is not None
    assert daily.lasts == (daily.needed <= daily.left)
    assert daily.left <= left
    if daily.spent_in_s is not None:
        assert 0 <= daily.spent_in_s <= hours * 3_600 + 1


@pytest.mark.parametrize(("waiting", "lasts"), [(0, True), (100_000, True), (400_000, False)])
def test_calls_of_a_backlog_are_needed_once_and_those_of_a_usual_minute_until_midnight(
    waiting: int,
    lasts: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    history = History()
    # An import took the last hour of a quiet day, in which each call had two events.
    for number in range(12 * MINUTE_S):
        calls = 20.0 if number >= 11 * MINUTE_S else 1.0
        history.minutes.append(Sample(number * MINUTE_S, {"calls_per_s": calls}, MINUTE_S))
        history.fine.append(Sample(number * MINUTE_S, {"calls_per_s": calls, "delivered_per_s": 2 * calls}))

    daily = outlook(replace(LIVE, lag=waiting), history.recent(12 * MINUTE_S * MINUTE_S)).daily

    assert daily is not None
    assert daily.needed == 6 * 3_600 + waiting / 2
    assert daily.lasts == lasts


@pytest.mark.parametrize("flow", [Flow(at=AT), replace(LIVE, quota=None), replace(LIVE, lag=None)])
def test_what_is_not_known_is_not_guessed(flow: Flow) -> None:
    found = outlook(flow, Recent())

    assert (found.daily, found.is_behind) == (None, False)
