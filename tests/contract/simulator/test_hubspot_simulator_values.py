"""What HubSpot takes as a value, as the simulator has it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.hubspot.schema.emails import is_valid
from sandbox.hubspot.schema.validation import InvalidValue, check_date, check_datetime, check_number


def test_a_date_is_a_day_or_midnight_utc() -> None:
    assert check_date("2026-11-24") == "2026-11-24"
    assert check_date("1786320000000") == "2026-08-10"
    with pytest.raises(InvalidValue, match=r"^1786334400000 is at 4:0:0\.0 UTC, not midnight!$"):
        check_date("1786334400000")
    for value in ("2026-11-31", "tomorrow", " 2026-11-24"):
        with pytest.raises(InvalidValue):
            check_date(value)


def test_a_datetime_has_a_time_and_a_zone() -> None:
    assert check_datetime("2026-11-24T04:00:00.123456+01:00") == "2026-11-24T03:00:00.123Z"
    assert check_datetime("0") == "1970-01-01T00:00:00.000Z"
    for value in ("2026-11-24", "2026-11-24T03:00:00", "soon", "9" * 15):
        with pytest.raises(InvalidValue, match="was not a valid long"):
            check_datetime(value)


@given(st.integers() | st.decimals(allow_nan=False, allow_infinity=False, places=2))
def test_a_number_is_digits_with_at_most_one_point(number: object) -> None:
    assert check_number(f"{number:f}" if not isinstance(number, int) else str(number))


@pytest.mark.parametrize("value", ["1e5", "1,000", " 1", "1 ", "--1", "one", "1.2.3", "NaN"])
def test_other_numbers_are_not_taken(value: str) -> None:
    with pytest.raises(InvalidValue, match="was not a valid number"):
        check_number(value)


@pytest.mark.parametrize(
    ("email", "valid"),
    [
        ("ada@example.com", True),
        ("a.b+c@mail.example.co.uk", True),
        ("ada@example.con", False),
        ("ada@example.lcom", False),
        ("ada@example", False),
        ("a..b@example.com", False),
        ("ada@-example.com", False),
        ("ada lovelace@example.com", False),
        ("@example.com", False),
    ],
)
def test_an_email_needs_a_top_level_domain_that_exists(email: str, valid: bool) -> None:  # noqa: FBT001 - a parameter
    assert is_valid(email) is valid
