"""Times: those that are let in can be told in UTC, within the years that Python has."""

from datetime import UTC, datetime
from typing import Annotated, Final

from pydantic import AfterValidator, AwareDatetime, ValidationInfo

AS_WRITTEN: Final = {"times": "as written"}
"""The context of a reader, who takes any time: records of before there was a bound are on the topics."""
EARLIEST: Final = datetime.min.replace(tzinfo=UTC)
LATEST: Final = datetime.max.replace(tzinfo=UTC)


def in_utc(moment: datetime) -> datetime:
    """Return *moment* in UTC. Raises ValueError where it is outside of the years 1 to 9999 there."""
    try:
        return moment.astimezone(UTC)
    except (OverflowError, ValueError):
        raise ValueError("should be within the years 1 to 9999 in UTC") from None


def moment_of(seconds: float) -> datetime:
    """Return the time that is so many seconds after 1970, or the nearest one within the years 1 to 9999.

    Kafka takes any 64 bits for the time of a record.
    """
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return EARLIEST if seconds < 0 else LATEST


def _checked(moment: datetime, info: ValidationInfo) -> datetime:
    if info.context is not AS_WRITTEN:
        in_utc(moment)
    return moment


def nearest(moment: datetime) -> datetime:
    """Return *moment* in UTC, or the nearest time there that is within the years 1 to 9999."""
    try:
        return in_utc(moment)
    except ValueError:
        return moment_of(moment.timestamp())


UtcTime = Annotated[AwareDatetime, AfterValidator(_checked)]
"""A time as it was given, which can be told in UTC; whoever reads AS_WRITTEN takes others too."""
KeptTime = Annotated[AwareDatetime, AfterValidator(nearest)]
"""A time in a record that must stay readable: one that can't be told in UTC becomes the nearest that can."""
