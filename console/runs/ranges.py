"""Ranges of time that a replay may have: those that people ask for often, and those that they type."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlencode

from console.runs.event_times import NotCounted
from hubspot_consumer.cli.options import ago
from schemas.times import read_time, utc_milliseconds


class Preset(NamedTuple):
    """A range under its name, as the query of an address. *days_ago* is that of a whole day, which is a day in UTC
    until the page's script makes it one of the viewer's zone.
    """

    name: str
    query: str
    days_ago: int | None = None


class Stop(NamedTuple):
    """A `halt` or a `pause` of sending, and whether it goes on."""

    kind: str
    began: datetime
    goes_on: bool


def presets(now: datetime, stops: Iterable[Stop]) -> list[Preset]:
    """Return the ranges that people ask for often, also since the newest halt and pause of *stops* began."""
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    yesterday = {
        "since": utc_milliseconds(midnight - timedelta(days=1)),
        "until": utc_milliseconds(midnight - timedelta(milliseconds=1)),
    }
    newest = {stop.kind: stop for stop in sorted(stops, key=lambda stop: stop.began)}
    since_stops = [
        Preset(
            f"since the {'' if stop.goes_on else 'last '}{stop.kind} began", _query(since=utc_milliseconds(stop.began))
        )
        for stop in newest.values()
    ]
    return [
        *since_stops,
        Preset("last hour", _query(since="1h")),
        Preset("last 24 hours", _query(since="24h")),
        Preset("yesterday", _query(**yesterday), days_ago=1),
        Preset("last 7 days", _query(since="7d")),
        Preset("all events", urlencode({"from": "earliest"})),
    ]


def range_of(asked: Mapping[str, Any], now: datetime) -> tuple[datetime | None, datetime]:
    """Return the range of a form's fields; None for the first event. Raises NotCounted for a text that is no time."""
    until = _moment(asked["until"], now) if asked["until"].strip() else now
    return None if asked["from"] == "earliest" else _moment(asked["since"], now), until


def typed_range(asked: Mapping[str, Any]) -> tuple[datetime | None, datetime | None]:
    """Return the times of a run's form; None for one that is not given, or is none."""
    return None if asked["from"] == "earliest" else read_time(asked["since"]), read_time(asked["until"])


def _moment(text: str, now: datetime) -> datetime:
    moment = ago(text.strip(), now) or read_time(text.strip())
    if moment is None:
        raise NotCounted("the range has a time that is none")
    return moment


def _query(**fields: str) -> str:
    return urlencode({"from": "since", **fields})
