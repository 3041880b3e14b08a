"""The filters of the templates: times and figures as people read them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from console.web.view import Form, age, moment, utc

AT = datetime(2026, 11, 24, 4, 0, 0, 123456, timezone(timedelta(hours=1)))


@pytest.mark.parametrize(
    ("form", "shown"),
    [
        ("full", "2026-11-24 03:00:00 UTC"),
        ("exact", "2026-11-24 03:00:00.123 UTC"),
        ("clock", "03:00:00 UTC"),
        ("day", "2026-11-24 UTC"),
    ],
)
def test_a_time_is_an_element_that_keeps_utc_to_the_millisecond_however_much_of_it_shows(
    form: Form, shown: str
) -> None:
    attributes = f'datetime="2026-11-24T03:00:00.123Z" data-form="{form}" title="2026-11-24 03:00:00.123 UTC"'

    assert moment(AT, form) == f"<time {attributes}>{shown}</time>"


def test_a_time_that_is_not_known_is_a_dash() -> None:
    assert (moment(None), utc(None)) == ("—", "—")


@pytest.mark.parametrize("at", [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)])
def test_times_at_the_ends_of_the_calendar_are_shown_too(at: datetime) -> None:
    assert utc(at) in moment(at)


@pytest.mark.parametrize("span", [-3.2, timedelta(seconds=-3.2), -90_000])
def test_a_span_that_ends_before_it_begins_as_by_another_clock_is_none(span: float | timedelta) -> None:
    assert age(span) == "0 ms"
