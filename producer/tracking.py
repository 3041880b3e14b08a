"""Tracking: writing an event into the outbox, in the transaction of whoever calls."""

import json
import sys
from collections.abc import Awaitable, Iterable, Mapping
from datetime import datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NewType, TypeGuard, overload
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import Connection, text
from sqlalchemy.orm import Session, scoped_session

from schemas.envelope import faults_of
from schemas.events import EVENTS, Event
from schemas.times import in_utc

if TYPE_CHECKING:
    # At run time only whoever holds one has it: it needs greenlet, which plain SQLAlchemy does not bring.
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session

    Blocking = Session | Connection | scoped_session[Any]
    Async = AsyncSession | AsyncConnection | async_scoped_session[Any]

# Several times what W3C's has.
LONGEST_TRACEPARENT: Final = 255

EventId = NewType("EventId", UUID)
"""The id of a tracked event: HubSpot's idempotency key, and what to look for in logs and dead letters."""

Payload = Mapping[str, Any] | Event

_TRACK: Final = text(
    "SELECT track_lifecycle_event(:event_type, CAST(:payload AS jsonb),"
    " coalesce(CAST(:occurred_at AS timestamptz), now()), :traceparent)"
)


# Row by row: not every driver reads an array of uuids.
_TRACK_SEVERAL: Final = text("SELECT unnest(track_lifecycle_events(CAST(:events AS jsonb)))")


class InvalidEvent(ValueError):
    """The event can't be tracked. The message names the event and its fields at fault, and quotes no value.

    `faults` are its parts, each `event.field: what is wrong` or `event: what is wrong`.
    """

    def __init__(self, *faults: str) -> None:
        super().__init__("; ".join(faults))
        self.faults: Final = faults


@overload
def track_event(
    db: "Blocking",
    event_type: str,
    payload: Payload,
    *,
    occurred_at: datetime | None = None,
    traceparent: str | None = None,
) -> EventId: ...


@overload
def track_event(
    db: "Async",
    event_type: str,
    payload: Payload,
    *,
    occurred_at: datetime | None = None,
    traceparent: str | None = None,
) -> Awaitable[EventId]: ...


def track_event(
    db: "Blocking | Async",
    event_type: str,
    payload: Payload,
    *,
    occurred_at: datetime | None = None,
    traceparent: str | None = None,
) -> EventId | Awaitable[EventId]:
    """Write the event into the outbox, in *db*'s transaction; the caller commits, or nothing happened.

    Await it where *db* is asynchronous. Raises InvalidEvent before it touches the database, whose transaction goes on.
    *occurred_at* needs a time zone, and is now if it is left out; *traceparent* is W3C's, for tracing, and is of the
    current span if it is left out, where the application uses OpenTelemetry.
    """
    parameters = {
        "event_type": event_type,
        "payload": _json(checked(event_type, payload)),
        "occurred_at": _in_utc(event_type, occurred_at),
        "traceparent": _traceparent(traceparent),
    }
    if isinstance(db, Session | Connection | scoped_session):
        return EventId(db.execute(_TRACK, parameters).scalar_one())
    if _is_async(db):
        return _track_async(db, parameters)
    raise _not_a_database(db)


@overload
def track_events(
    db: "Blocking",
    events: Iterable[tuple[str, Payload]],
    *,
    occurred_at: datetime | None = None,
    traceparent: str | None = None,
) -> list[EventId]: ...


@overload
def track_events(
    db: "Async",
    events: Iterable[tuple[str, Payload]],
    *,
    occurred_at: datetime | None = None,
    traceparent: str | None = None,
) -> Awaitable[list[EventId]]: ...


def track_events(
    db: "Blocking | Async",
    events: Iterable[tuple[str, Payload]],
    *,
    occurred_at: datetime | None = None,
    traceparent: str | None = None,
) -> list[EventId] | Awaitable[list[EventId]]:
    """Write the events of a transaction that touches several contacts; return their ids, in the order given.

    As `track_event`, in one call that locks the contacts in one order for everybody: two transactions that call it once
    never wait for each other. A contact's events keep the order given. All are checked before the database is touched.
    """
    trace = _traceparent(traceparent)
    listed = [
        {
            "event_type": event_type,
            "payload": checked(event_type, payload),
            "occurred_at": at.isoformat() if (at := _in_utc(event_type, occurred_at)) else None,
            "traceparent": trace,
        }
        for event_type, payload in events
    ]
    parameters = {"events": _json(listed)}
    if isinstance(db, Session | Connection | scoped_session):
        return [EventId(row) for row in db.execute(_TRACK_SEVERAL, parameters).scalars()]
    if _is_async(db):
        return _track_several_async(db, parameters)
    raise _not_a_database(db)


def _not_a_database(db: object) -> TypeError:
    kind = type(db).__name__
    return TypeError(
        f"events are tracked with SQLAlchemy's Session, Connection, scoped_session or their async twins, not {kind}"
    )


def _is_async(db: object) -> TypeGuard["Async"]:
    module = sys.modules.get("sqlalchemy.ext.asyncio")
    if module is None:
        return False
    return isinstance(db, module.AsyncSession | module.AsyncConnection | module.async_scoped_session)


async def _track_async(db: "Async", parameters: dict[str, Any]) -> EventId:
    return EventId((await db.execute(_TRACK, parameters)).scalar_one())


async def _track_several_async(db: "Async", parameters: dict[str, Any]) -> list[EventId]:
    return [EventId(row) for row in (await db.execute(_TRACK_SEVERAL, parameters)).scalars()]


def _traceparent(given: str | None) -> str | None:
    """Return the trace of an event. W3C lets whoever can't read a traceparent, or can't store it, go on without one."""
    if given is None:
        return _current_traceparent()
    return given if len(given) <= LONGEST_TRACEPARENT and given.isprintable() else None


def _current_traceparent() -> str | None:
    # Whoever has a span has imported this; nobody else need have it installed.
    if "opentelemetry.trace" not in sys.modules:
        return None
    tracecontext = import_module("opentelemetry.trace.propagation.tracecontext")
    carrier: dict[str, str] = {}
    tracecontext.TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def checked(event_type: str, payload: Payload) -> dict[str, Any]:
    """Return the payload as the SQL function takes it. Raises InvalidEvent."""
    model = EVENTS.get(event_type)
    if model is None:
        raise InvalidEvent(f"{event_type}: no such event; there are {', '.join(EVENTS)}")
    fields = payload.model_dump() if isinstance(payload, Event) else payload
    if isinstance(payload, Event) and not isinstance(payload, model):
        raise InvalidEvent(f"{event_type}: the payload is of another event, {type(payload).__name__}")
    try:
        event = model.model_validate(dict(fields))
    except ValidationError as error:
        raise InvalidEvent(*(f"{event_type}.{fault}" for fault in faults_of(error))) from None
    return event.model_dump(mode="json", exclude_none=True)


def _in_utc(event_type: str, occurred_at: datetime | None) -> datetime | None:
    if occurred_at is None:
        return None
    if not isinstance(occurred_at, datetime):
        raise InvalidEvent(f"{event_type}: occurred_at should be a datetime")
    if occurred_at.utcoffset() is None:
        raise InvalidEvent(f"{event_type}: occurred_at has no time zone")
    try:
        return in_utc(occurred_at)
    except ValueError as error:
        raise InvalidEvent(f"{event_type}: occurred_at {error}") from None
