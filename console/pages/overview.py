"""The overview page: whether the services keep up, and where events are stuck."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from console.overview.overview import HOURS, Overview
from console.web.view import View


def overview_pages(view: View, overview: Overview) -> APIRouter:
    """Return the page's routes. `/overview/live` is polled every two seconds, the charts' samples every five.

    The charts and the list of what happened show the last `hours`: one of HOURS.
    """
    router = APIRouter()

    @router.get("/")
    async def page(request: Request, hours: str = "") -> Response:
        return view.page(request, "overview.html", seen=overview.seen(), **await happened(hours))

    @router.get("/overview/live")
    async def live(request: Request) -> Response:
        return view.page(request, "overview_live.html", seen=overview.seen())

    @router.get("/overview/happened")
    async def what_happened(request: Request, hours: str = "") -> Response:
        return view.page(request, "overview_happened.html", **await happened(hours))

    @router.get("/overview/samples")
    async def samples(hours: str = "", after: float = 0.0) -> Response:
        return JSONResponse(await overview.charts(_one_of(hours), after))

    @router.get("/banner")
    async def banner(request: Request) -> Response:
        return view.page(request, "banner.html")

    async def happened(hours: str) -> dict[str, Any]:
        shown = _one_of(hours)
        return {"hours": shown, "all_hours": HOURS, "marks": await overview.happened(shown)}

    return router


def _one_of(hours: str) -> int:
    """Return the hours that an address names, or the fewest."""
    return next((each for each in HOURS if hours == str(each)), HOURS[0])
