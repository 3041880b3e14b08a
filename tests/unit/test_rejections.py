"""The limit of rejections: a share of an hour's events, and never less than a number."""

from hubspot_consumer.rejections import Rejections
from tests.clock import OwnedClock


def rejections(clock: OwnedClock, delivered: int, rejected: int) -> Rejections:
    counted = Rejections(100, clock)
    counted.delivered(delivered)
    for _ in range(rejected):
        counted.rejected()
    return counted


def test_a_hundred_of_few_events_are_too_many() -> None:
    assert not rejections(OwnedClock(), 0, 99).too_many
    assert rejections(OwnedClock(), 0, 100).too_many
    assert rejections(OwnedClock(), 5_000, 100).too_many


def test_one_in_a_hundred_of_many_events_is_too_many() -> None:
    assert not rejections(OwnedClock(), 100_000, 900).too_many
    assert rejections(OwnedClock(), 90_000, 1_000).too_many


def test_what_is_over_an_hour_old_does_not_count() -> None:
    clock = OwnedClock()
    counted = rejections(clock, 0, 60)
    clock.advance(1_800)
    for _ in range(60):
        counted.rejected()
    assert counted.too_many

    clock.advance(1_801)

    assert not counted.too_many
    assert counted.last_hour == 60
