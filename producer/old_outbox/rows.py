"""A row of the old worker's table, and the event in it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from schemas.envelope import faults_of
from schemas.events import EVENTS, Event

ALIASES: Final[Mapping[str, str]] = {
    "user_signup": "driver_signed_up",
    "redemption": "nova_redeemed",
    "wallet_pass_install": "wallet_pass_installed",
}
"""Alternative names of events in the old worker."""

_TIME: Final = TypeAdapter(datetime)


class Unimportable(ValueError):
    """The row contains no event that can be tracked. The message says why, and quotes no value of the payload."""


@dataclass(frozen=True)
class OldRow:
    """A row: *key* is the id in the column's own type, *id* is its text; *payload* is the text of the JSON."""

    key: Any
    id: str
    type: str | None
    payload: str | None
    created: datetime | None


@dataclass(frozen=True)
class Happened:
    """An event and the time when it happened."""

    type: str
    event: Event
    at: datetime


def read_row(row: OldRow, user_id_prefix: str = "") -> Happened:
    """Return the event of *row*. Raises Unimportable.

    Values that the old worker accepted are converted: ids that are numbers, times without a zone (they are in UTC), an
    event without its time (it gets the row's). Fields that are not in the event's model are ignored.
    """
    event_type = ALIASES.get(row.type or "", row.type or "")
    model = EVENTS.get(event_type)
    if model is None:
        raise Unimportable(f"{event_type or 'no type'}: no such event")
    time = next(name for name in model.model_fields if name.endswith("_at"))
    try:
        event = model.model_validate(_fields(model, _payload(event_type, row.payload), time, row, user_id_prefix))
    except ValidationError as error:
        raise Unimportable("; ".join(f"{event_type}.{fault}" for fault in faults_of(error))) from None
    return Happened(event_type, event, getattr(event, time))


def _fields(
    model: type[Event], payload: Mapping[str, Any], time: str, row: OldRow, user_id_prefix: str
) -> dict[str, Any]:
    fields = {name: _field(name, payload[name]) for name in model.model_fields if name in payload and name != "type"}
    if fields.get(time) is None and row.created is not None:
        fields[time] = _in_utc(row.created)
    if isinstance(user_id := fields.get("user_id"), str):
        fields["user_id"] = user_id_prefix + user_id.removeprefix(user_id_prefix)
    return fields


def _payload(event_type: str, text: str | None) -> dict[str, Any]:
    try:
        payload = json.loads(text or "")
        # The value may be JSON that was written into a JSON column as text.
        payload = json.loads(payload) if isinstance(payload, str) else payload
    except (ValueError, RecursionError):
        payload = None
    if not isinstance(payload, dict):
        raise Unimportable(f"{event_type}: the payload is not a JSON object")
    return payload


def _field(name: str, value: Any) -> Any:
    if name.endswith("_id") and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if name.endswith("_cents") and isinstance(value, float) and value.is_integer():
        return int(value)
    if name.endswith("_at") and value is not None:
        try:
            return _in_utc(_TIME.validate_python(value))
        except ValidationError:
            return value
    return value


def _in_utc(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.utcoffset() is None else time
