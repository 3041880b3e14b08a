"""Tracking: writing an event into the outbox, in the caller's transaction."""

import json
import re
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NewType, TypeVar, overload
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import Connection, Result, TextClause, TwoPhaseTransaction, text
from sqlalchemy.orm import Session, scoped_session

from schemas.envelope import faults_of
from schemas.events import EVENTS, Event
from schemas.times import in_utc

if TYPE_CHECKING:
    # This module needs greenlet, which plain SQLAlchemy does not install. Only callers with an async session have it.
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session

    Blocking = Session | Connection | scoped_session[Any]
    Async = AsyncSession | AsyncConnection | async_scoped_session[Any]

TRACEPARENT: Final = r"^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$"
_TRACEPARENT: Final = re.compile(TRACEPARENT)
_SCHEMA: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
# Several times the number of fields of any event. Each unknown field is a fault, and a megabyte of them takes seconds.
MOST_FIELDS: Final = 100

EventId = NewType("EventId", UUID)
"""The id of a tracked event. It is HubSpot's idempotency key, and logs and dead letters contain it."""

Payload = Mapping[str, Any] | Event
Tracked = TypeVar("Tracked", EventId, list[EventId])

# PostgreSQL prepares no transaction that has sent a notification. The relay finds the event within a second.
_NOTIFY_NOBODY: Final = text("SET LOCAL nerava.notify = off")


class InvalidEvent(ValueError):
    """The event can't be tracked. The message names the event and its invalid fields, and quotes no value.

    `faults` are the parts of the message, each `event.field: what is wrong` or `event: what is wrong`.
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
    schema: str | None = None,
) -> EventId: ...


@overload
def track_event(
    db: "Async",
    event_type: str,
    payload: Payload,
    *,
    occurred_at: datetime | None = None,
    traceparent: str | None = None,
    schema: str | None = None,
) -> Awaitable[EventId]: ...


def track_event(  # noqa: PLR0913 - all but three are optional, and given by name
    db: "Blocking | Async",
    event_type: str,
    payload: Payload,
    *,
    occurred_at: datetime | None = None,
    traceparent: str | None = None,
    schema: str | None = None,
) -> EventId | Awaitable[EventId]:
    """Write the event into the outbox, in *db*'s transaction. It is published only if the caller commits.

    The result is an awaitable if *db* is asynchronous. Raises InvalidEvent before any access to the database, so the
    transaction stays usable. *occurred_at* needs a time zone and defaults to now. *traceparent* is W3C's, for tracing;
    it defaults to the current span's if the application uses OpenTelemetry. *schema* is the outbox's; the default is
    what the `search_path` leads to.
    """
    parameters = {
        "event_type": event_type,
        "payload": _json(checked(event_type, payload)),
        "occurred_at": _in_utc(event_type, occurred_at),
        "traceparent": _traceparent(event_type, traceparent),
    }
    return _execute(db, _statements(schema).one, parameters, _only_id)


@overload
def track_events(
    db: "Blocking",
    events: Iterable[tuple[str, Payload]],
    *,
    occurred_at: datetime | None = None,
    traceparent: str | None = None,
    schema: str | None = None,
) -> list[EventId]: ...


@overload
def track_events(
    db: "Async",
    events: Iterable[tuple[str, Payload]],
    *,
    occurred_at: datetime | None = None,
    traceparent: str | None = None,
    schema: str | None = None,
) -> Awaitable[list[EventId]]: ...


def track_events(
    db: "Blocking | Async",
    events: Iterable[tuple[str, Payload]],
    *,
    occurred_at: datetime | None = None,
    traceparent: str | None = None,
    schema: str | None = None,
) -> list[EventId] | Awaitable[list[EventId]]:
    """Write several events, possibly of several contacts. Return their ids, in the order given.

    The function works as `track_event`, but in one call, which locks the contacts in the same order as every other
    call: two transactions that each call it once never deadlock. A contact's events keep the order given. All events
    are checked before any access to the database.
    """
    listed = [
        {
            "event_type": event_type,
            "payload": checked(event_type, payload),
            "occurred_at": at.isoformat() if (at := _in_utc(event_type, occurred_at)) else None,
            "traceparent": _traceparent(event_type, traceparent),
        }
        for event_type, payload in events
    ]
    parameters = {"events": _json(listed)}
    return _execute(db, _statements(schema).several, parameters, _ids)


def _execute(
    db: "Blocking | Async", statement: TextClause, parameters: dict[str, Any], read: Callable[[Result[Any]], Tracked]
) -> Tracked | Awaitable[Tracked]:
    if isinstance(db, scoped_session):
        db = db()
    if isinstance(db, Session | Connection):
        if _is_two_phase(db):
            db.execute(_NOTIFY_NOBODY)
        return read(db.execute(statement, parameters))
    asynchronous = sys.modules.get("sqlalchemy.ext.asyncio")
    if asynchronous and isinstance(db, asynchronous.async_scoped_session):
        db = db()
    if asynchronous and isinstance(db, asynchronous.AsyncSession | asynchronous.AsyncConnection):
        return _execute_async(db, statement, parameters, read)
    kind = type(db).__name__
    raise TypeError(
        f"events are tracked with SQLAlchemy's Session, Connection, scoped_session or their async twins, not {kind}"
    )


async def _execute_async(
    db: "AsyncSession | AsyncConnection",
    statement: TextClause,
    parameters: dict[str, Any],
    read: Callable[[Result[Any]], Tracked],
) -> Tracked:
    if _is_two_phase(db.sync_session if hasattr(db, "sync_session") else db.sync_connection):
        await db.execute(_NOTIFY_NOBODY)
    return read(await db.execute(statement, parameters))


def _is_two_phase(db: Session | Connection | None) -> bool:
    """Return whether the caller will commit in two phases, as far as SQLAlchemy has been told."""
    if isinstance(db, Session):
        if db.twophase:
            return True
        db = db.bind if isinstance(db.bind, Connection) else None
    return db is not None and isinstance(db.get_transaction(), TwoPhaseTransaction)


class _Statements(NamedTuple):
    one: TextClause
    several: TextClause


@cache
def _statements(schema: str | None) -> _Statements:
    if schema is not None and not _SCHEMA.fullmatch(schema):
        raise ValueError("a schema should have lower-case letters, digits and _ alone")
    place = "" if schema is None else f"{schema}."
    return _Statements(
        text(
            f"SELECT {place}track_lifecycle_event(:event_type, CAST(:payload AS jsonb),"
            " coalesce(CAST(:occurred_at AS timestamptz), now()), :traceparent)"
        ),
        # The ids are returned row by row, because not every driver reads an array of UUIDs.
        text(f"SELECT unnest({place}track_lifecycle_events(CAST(:events AS jsonb)))"),
    )


def _only_id(result: Result[Any]) -> EventId:
    return EventId(result.scalar_one())


def _ids(result: Result[Any]) -> list[EventId]:
    return [EventId(row) for row in result.scalars()]


def is_traceparent(given: object) -> bool:
    """Return whether this is a traceparent as W3C has it."""
    return isinstance(given, str) and _TRACEPARENT.fullmatch(given) is not None


def _traceparent(event_type: str, given: str | None) -> str | None:
    if given is None:
        return _current_traceparent()
    if not is_traceparent(given):
        raise InvalidEvent(f"{event_type}: traceparent should be one as W3C has it")
    return given


def _current_traceparent() -> str | None:
    # An application with a span has imported this module; others need not have it installed.
    if "opentelemetry.trace" not in sys.modules:
        return None
    tracecontext = import_module("opentelemetry.trace.propagation.tracecontext")
    carrier: dict[str, str] = {}
    tracecontext.TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def checked(event_type: str, payload: Payload) -> dict[str, Any]:
    """Return the payload as the SQL function accepts it. Raises InvalidEvent."""
    model = EVENTS.get(event_type)
    if model is None:
        raise InvalidEvent(f"{event_type}: no such event; there are {', '.join(EVENTS)}")
    fields = payload.model_dump() if isinstance(payload, Event) else payload
    if isinstance(payload, Event) and not isinstance(payload, model):
        raise InvalidEvent(f"{event_type}: the payload is of another event, {type(payload).__name__}")
    try:
        named = dict(fields)
    except (TypeError, ValueError):
        raise InvalidEvent(f"{event_type}: the payload should be a mapping") from None
    if len(named) > MOST_FIELDS:
        raise InvalidEvent(f"{event_type}: the payload has more than {MOST_FIELDS} fields")
    try:
        event = model.model_validate(named)
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
