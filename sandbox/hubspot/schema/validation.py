"""Validation: the accepted values of each property type, their stored form, and HubSpot's error messages."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, NamedTuple

from sandbox.hubspot.clock import iso
from sandbox.hubspot.http.answers import Refused, invalid
from sandbox.hubspot.schema import emails

Check = Callable[[str], str]
"""Returns a value as HubSpot stores it. Raises InvalidValue."""

LONGEST_STRING: Final = 65_536

_NUMBER: Final = re.compile(r"-?([0-9]+(\.[0-9]*)?|\.[0-9]+)")
_MILLISECONDS: Final = re.compile(r"-?[0-9]{1,15}")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MILLISECONDS_OF_A_SECOND: Final = re.compile(r"\.[0-9]")
_MICROSECONDS: Final = re.compile(r"\.[0-9]{4}")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class InvalidValue(ValueError):
    def __init__(self, error: str, message: str) -> None:
        super().__init__(message)
        self.error: Final = error
        self.message: Final = message


class Failure(NamedTuple):
    """A property value of a record that HubSpot does not accept."""

    name: str
    value: str
    error: str
    message: str


def length(text: str) -> int:
    """Return the length of *text* as HubSpot counts it: in units of UTF-16, of which an emoji has two."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def check_string(value: str) -> str:
    if length(value) > LONGEST_STRING:
        raise InvalidValue("STRING_TOO_LONG", f"The value is longer than {LONGEST_STRING} characters.")
    return value


def check_email(value: str) -> str:
    email = emails.normalised(value)
    if not emails.is_valid(email):
        raise InvalidValue("INVALID_EMAIL", f"Email address {value} is invalid")
    return email


def check_emails(value: str) -> str:
    addresses = ";".join(check_email(email) for email in emails.split(value))
    return f";{addresses}" if value.lstrip().startswith(";") else addresses


def check_number(value: str) -> str:
    if not _NUMBER.fullmatch(value):
        raise InvalidValue("INVALID_INTEGER", f"{value} was not a valid number.")
    return value


def check_date(value: str) -> str:
    if _DAY.fullmatch(value):
        try:
            return date.fromisoformat(value).isoformat()
        except ValueError:
            raise InvalidValue("INVALID_DATE", f"{value} was not a valid date.") from None
    moment = _moment(value)
    if moment is None:
        raise InvalidValue("INVALID_DATE", f"{value} was not a valid date.")
    if moment.time() != datetime.min.time():
        time = f"{moment.hour}:{moment.minute}:{moment.second}.{moment.microsecond // 1000}"
        raise InvalidValue("INVALID_DATE", f"{value} is at {time} UTC, not midnight!")
    return moment.date().isoformat()


def check_datetime(value: str) -> str:
    moment = _moment(value)
    if moment is None:
        raise InvalidValue("INVALID_LONG", f"{value} was not a valid long.")
    return iso(moment)


def has_milliseconds(value: str) -> bool:
    return _MILLISECONDS_OF_A_SECOND.search(value) is not None


def has_microseconds(value: str) -> bool:
    return _MICROSECONDS.search(value) is not None


def check_option(options: Sequence[str], *, several: bool) -> Check:
    """Return the check of a property that accepts one of *options*, or, if *several*, a list of them as `a;b`."""
    allowed = frozenset(options)

    def check(value: str) -> str:
        chosen = [option for option in value.split(";") if option] if several else [value]
        for option in chosen:
            if option not in allowed:
                listed = ", ".join(options)
                raise InvalidValue("INVALID_OPTION", f"{option} was not one of the allowed options: [{listed}]")
        return value

    return check


CHECKS: Final[Mapping[str, Check]] = {
    "string": check_string,
    "number": check_number,
    "date": check_date,
    "datetime": check_datetime,
}


def _moment(value: str) -> datetime | None:
    try:
        if _MILLISECONDS.fullmatch(value):
            return _EPOCH + timedelta(milliseconds=int(value))
        moment = datetime.fromisoformat(value) if "T" in value else None
        return moment.astimezone(UTC) if moment and moment.tzinfo else None
    except (ValueError, OverflowError):
        return None


def failures_message(failures: Sequence[Failure], portal_id: int) -> str:
    """Return HubSpot's error message, which contains the failures as JSON."""
    shown = [
        {
            "isValid": False,
            "message": failure.message,
            "error": failure.error,
            "name": failure.name,
            "localizedErrorMessage": failure.message,
            "propertyValue": failure.value,
            "portalId": portal_id,
        }
        for failure in failures
    ]
    return f"Property values were not valid: {json.dumps(shown, separators=(',', ':'))}"


def refuse_failures(failures: Sequence[Failure], portal_id: int) -> Refused:
    errors: list[dict[str, Any]] = [
        {"message": failure.message, "code": failure.error, "context": {"propertyName": [failure.name]}}
        for failure in failures
    ]
    return invalid(failures_message(failures, portal_id), errors=errors)
