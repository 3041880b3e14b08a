"""Times: new ones must have an equivalent in UTC, within Python's range of years."""

from datetime import UTC, datetime
from typing import Annotated, Final

from pydantic import AfterValidator, AwareDatetime, ValidationInfo
from pydantic_core import to_jsonable_python

AS_WRITTEN: Final = {"times": "as written"}
"""Validation context of readers, which accept any time: the topics contain records from before the limit."""
EARLIEST: Final = datetime.min.replace(tzinfo=UTC)
LATEST: Final = datetime.max.replace(tzinfo=UTC)


def in_utc(moment: datetime) -> datetime:
    """Return *moment* in UTC. Raises ValueError if it is outside of the years 1 to 9999 there."""
    try:
        return moment.astimezone(UTC)
    except (OverflowError, ValueError):
        raise ValueError("should be within the years 1 to 9999 in UTC") from None


def moment_of(seconds: float) -> datetime:
    """Return the time *seconds* after 1970, or the nearest one within the years 1 to 9999.

    Kafka accepts any 64 bits as the time of a record.
    """
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return EARLIEST if seconds < 0 else LATEST


def read_time(text: str) -> datetime | None:
    """Return the ISO 8601 time in *text*, without an offset in UTC, or the nearest one in the years 1 to 9999; None for
    any other text.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return nearest(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _checked(moment: datetime, info: ValidationInfo) -> datetime:
    if info.context is not AS_WRITTEN:
        in_utc(moment)
    return moment


def nearest(moment: datetime) -> datetime:
    """Return *moment* in UTC, or the nearest time within the years 1 to 9999 there."""
    try:
        return in_utc(moment)
    except ValueError:
        return moment_of(moment.timestamp())


def utc_milliseconds(moment: datetime) -> str:
    """Return *moment* in UTC with milliseconds, as HubSpot reads times.

    A moment without an equivalent in UTC is as it was given: HubSpot refuses it, and its event becomes a dead letter.
    """
    # pydantic writes a time in a third of the time that `isoformat` takes. It leaves out microseconds of zero.
    text: str = to_jsonable_python(moment)
    if not text.endswith("Z"):
        try:
            text = to_jsonable_python(in_utc(moment))
        except ValueError:
            return moment.isoformat()
    return f"{text[:19]}.{text[20:23] or '000'}Z"


UtcTime = Annotated[AwareDatetime, AfterValidator(_checked)]
"""A time as it was given, which has an equivalent in UTC. Readers with the context AS_WRITTEN accept others too."""
KeptTime = Annotated[AwareDatetime, AfterValidator(nearest)]
"""A time in a record that must stay readable: one without an equivalent in UTC becomes the nearest one with it."""
