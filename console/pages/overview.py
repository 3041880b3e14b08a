"""The overview page: whether the services keep up, and where events are stuck."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from console.overview.flow import Overview
from console.web.view import View


def overview_pages(view: View, overview: Overview) -> APIRouter:
    """Return the page's routes. `/overview/live` is polled every two seconds, the charts' samples every five."""
    router = APIRouter()

    @router.get("/")
    async def page(request: Request) -> Response:
        return view.page(request, "overview.html", flow=overview.now())

    @router.get("/overview/live")
    async def live(request: Request) -> Response:
        return view.page(request, "overview_live.html", flow=overview.now())

    @router.get("/overview/samples")
    async def samples() -> Response:
        return JSONResponse(overview.charts())

    @router.get("/banner")
    async def banner(request: Request) -> Response:
        return view.page(request, "banner.html")

    return router
