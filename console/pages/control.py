"""The control page: pausing and resuming, the settings of the services, and the doctor."""

import asyncio
from typing import Any, Final

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from console.control import AnotherPause, Control, KafkaDoesNotTell, compared
from console.pages.runs import RunStarter, words_of
from console.shared_settings import ON_KAFKA
from console.web.view import View
from hubspot_consumer.cli.gates import LONGEST_WORDS
from schemas.contacts import without_emails

MOST_BEFORE: Final = 5


def control_pages(view: View, starter: RunStarter, doctors_worker: str) -> APIRouter:
    """Return the page's routes. `/control/live` is polled every five seconds; the doctor checks *doctors_worker*."""
    router, control, actions = APIRouter(), starter.control, starter.actions

    @router.get("/control")
    async def page(request: Request) -> Response:
        state, producers = await asyncio.gather(_state(control), control.producers())
        return view.page(
            request,
            "control.html",
            **state,
            producers=producers,
            longest=LONGEST_WORDS,
            of_workers=compared(state["workers"]),
            of_producers=compared(producers),
            doctors=starter.runs.all("doctor")[:MOST_BEFORE],
        )

    @router.get("/control/live")
    async def live(request: Request) -> Response:
        return view.page(request, "control_live.html", **await _state(control))

    @router.post("/control/pause")
    async def pause(request: Request) -> Response:
        note = words_of("note", request.state.form.get("note"))
        if not note:
            raise HTTPException(400, "give a reason: people on call read it")
        try:
            async with actions.action(request, "pause", note=without_emails(note)) as outcome:
                await control.compare_settings(ON_KAFKA, outcome)
                await control.pause(request.state.person.name, note)
        except KafkaDoesNotTell as why:
            raise HTTPException(503, str(why)) from why
        return RedirectResponse("/control", status_code=303)

    @router.post("/control/resume")
    async def resume(request: Request) -> Response:
        seen = request.state.form.get("seen", "")
        try:
            async with actions.action(request, "resume") as outcome:
                await control.compare_settings(ON_KAFKA, outcome)
                await control.resume(seen)
        except AnotherPause as why:
            raise HTTPException(409, str(why)) from why
        except KafkaDoesNotTell as why:
            raise HTTPException(503, str(why)) from why
        return RedirectResponse("/control", status_code=303)

    @router.post("/control/doctor")
    async def doctor(request: Request) -> Response:
        return await starter.start(request, "doctor", ["doctor", "--json", f"--worker-url={doctors_worker}"], {})

    return router


async def _state(control: Control) -> dict[str, Any]:
    paused, workers = await asyncio.gather(_paused(control), control.workers())
    return {**paused, "workers": workers}


async def _paused(control: Control) -> dict[str, Any]:
    try:
        return {"paused": await control.paused(), "trouble": ""}
    except KafkaDoesNotTell as why:
        return {"paused": None, "trouble": str(why)}
