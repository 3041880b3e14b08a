"""The replay page: a plan, the start of a planned replay, and the list of earlier ones."""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, HTTPException, Request, Response
from starlette.datastructures import QueryParams

from console.pages.runs import RunStarter
from console.runs.event_times import EventTimes, NotCounted
from console.runs.range_picture import RangePicture
from console.runs.ranges import Stop, presets, range_of, typed_range
from console.runs.runs import Runs
from console.web.forms import Form
from console.web.view import View
from hubspot_consumer.cli.options import ago
from runtime.clock import Clock
from schemas.events import EVENT_TYPES

# Text that may be a time. The command itself checks the details.
_A_TIME: Final = re.compile(r"[0-9][0-9A-Za-z:.+ -]{1,40}")
# In digits. Python does not read a number of thousands of digits.
LONGEST_SHARE: Final = 2
DEFAULTS: Final[Mapping[str, Any]] = {
    "from": "since",
    "since": "24h",
    "until": "",
    "types": [],
    "share": 30,
    "timeline": True,
    "fresh": False,
}


Stops = Callable[[], Iterable[Stop]]
"""Returns the halts and pauses of the last day, as far as they are known."""


def replay_pages(view: View, starter: RunStarter, clock: Clock, times: EventTimes, stops: Stops) -> APIRouter:
    """Return the page's routes. A replay starts only from a plan, or from an earlier replay.

    The fragment `/replay/picture` shows a range among the events: of a form's fields, or of a run.
    """
    router, runs = APIRouter(), starter.runs

    async def pictured(asked: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        try:
            since, until = range_of(asked, now)
            picture = RangePicture(await times.count(since, until, asked["types"]))
        except NotCounted as why:
            return {"picture": None, "not_counted": str(why)}
        return {"picture": picture, "not_counted": ""}

    @router.get("/replay")
    async def page(request: Request, again: str = "", picture: str = "") -> Response:
        now, before = clock.now(), runs.of(again) if again else None
        asked = {**DEFAULTS, **(before.asked.form if before is not None else _typed(request.query_params))}
        shown = await pictured(asked, now) if picture else {"picture": None, "not_counted": ""}
        earlier = runs.all("replay", "replay_plan")
        given = ("from",) if asked["from"] == "earliest" else ("from", "since", "until")
        fields = {name: asked[name] for name in given if asked[name]}
        return view.page(
            request,
            "replay.html",
            asked=asked,
            types=EVENT_TYPES,
            presets=presets(now, stops()),
            as_picture=urlencode({**fields, "type": asked["types"], "picture": "yes"}, doseq=True),
            as_range=urlencode(fields),
            of_run=None,
            runs=earlier,
            ranges={run.id: typed_range(run.asked.form) for run in earlier},
            **shown,
        )

    @router.get("/replay/picture")
    async def picture(request: Request, run: str = "") -> Response:
        asked, now, of_run = {**DEFAULTS, **_typed(request.query_params)}, clock.now(), runs.of(run) if run else None
        if of_run is not None:
            # Without an end, a run reads the events that were there when it began.
            asked, now = {**DEFAULTS, **of_run.asked.form}, of_run.asked.began
        return view.page(request, "replay_picture.html", of_run=of_run, **await pictured(asked, now))

    @router.post("/replay/plan")
    async def plan(request: Request) -> Response:
        asked = _asked(request.state.form, clock.now())
        return await starter.start(request, "replay_plan", _arguments(asked, runs, "--dry-run"), asked)

    @router.post("/replay/start")
    async def start(request: Request) -> Response:
        form: Form = request.state.form
        planned = runs.of(form.get("plan", ""))
        if planned is None or planned.asked.kind not in ("replay_plan", "replay"):
            raise HTTPException(400, "look at a plan first: it shows what will be done")
        asked = {**planned.asked.form, "fresh": form.get("fresh") == "yes"}
        return await starter.start(request, "replay", _arguments(asked, runs, "--yes"), asked)

    return router


def _typed(query: QueryParams) -> dict[str, Any]:
    """Return the fields of the form that an address fills in."""
    typed: dict[str, Any] = {name: query[name] for name in ("from", "since", "until") if name in query}
    return {**typed, "types": [name for name in query.getlist("type") if name in EVENT_TYPES]}


def _asked(form: Form, now: datetime) -> dict[str, Any]:
    since, until = (form.get(name, "").strip() for name in ("since", "until"))
    asked = {
        "from": "earliest" if form.get("from") == "earliest" else "since",
        "since": _absolute(since, now),
        "until": _absolute(until, now),
        "types": [name for name in form.getlist("type") if name in EVENT_TYPES],
        "share": _share(form.get("share", "")),
        "timeline": form.get("timeline") == "yes",
        "fresh": False,
    }
    if (asked["from"] == "since" and not _A_TIME.fullmatch(since)) or (until and not _A_TIME.fullmatch(until)):
        raise HTTPException(400, "give a start: 2026-11-24T03:00:00Z, or an age such as 90m, 24h, 7d")
    return asked


def _absolute(text: str, now: datetime) -> str:
    """Return a time unchanged, and an age as a time before *now*, so that the replay covers the planned time span."""
    then = ago(text, now)
    return text if then is None else f"{then.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _share(text: str) -> int:
    if not (text.isdecimal() and len(text) <= LONGEST_SHARE and 1 <= int(text) <= 90):
        raise HTTPException(400, "the share of the quota is between 1 and 90 percent")
    return int(text)


def _arguments(asked: Mapping[str, Any], runs: Runs, *how: str) -> list[str]:
    return [
        "replay",
        "--from-earliest" if asked["from"] == "earliest" else f"--since={asked['since']}",
        *([f"--until={asked['until']}"] if asked["until"] else []),
        *(f"--event-type={name}" for name in asked["types"]),
        f"--rate-share={asked['share'] / 100:g}",
        "--timeline" if asked["timeline"] else "--no-timeline",
        *(["--fresh"] if asked["fresh"] else []),
        f"--folder={runs.reprocessing}",
        *how,
        "--json",
        "--progress=json",
    ]
