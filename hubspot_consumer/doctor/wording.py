"""Numbers as a person reads them."""

from datetime import timedelta


def duration(seconds: float) -> str:
    """Return `12 s`, `7 min`, `3 h` or `5 days`, whichever is shortest and no longer than it is."""
    whole = max(0, int(seconds))
    for unit, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if whole >= 2 * length:
            return f"{whole // length} {unit}"
    return f"{whole} s"


def count(number: int, thing: str, *, at_most: int | None = None) -> str:
    """Return `1 row`, `12 rows`, or `100,000 rows or more` where nobody counted beyond *at_most*."""
    words = f"{number:,} {thing}{'' if number == 1 else 's'}"
    return f"{words} or more" if at_most is not None and number >= at_most else words


def hours_and_minutes(span: timedelta) -> str:
    minutes = max(0, int(span.total_seconds() // 60))
    return f"{minutes // 60} h {minutes % 60:02} min"
