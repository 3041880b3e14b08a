"""The simulator's app: HubSpot's API, the test API and a web page."""

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from sandbox.hubspot.faults.control import PREFIX, control
from sandbox.hubspot.http.gateway import Gateway
from sandbox.hubspot.http.page import PATH, page
from sandbox.hubspot.records.portal import Portal


class SimulatorApp(FastAPI):
    """Calls to HubSpot's API bypass FastAPI: it would be slow, and dropping a connection needs the server's `send`."""

    def __init__(self, portal: Portal) -> None:
        super().__init__(
            title="HubSpot simulator", docs_url=f"{PREFIX}/docs", openapi_url=f"{PREFIX}/openapi.json", redoc_url=None
        )
        self._portal = portal
        self._gateway = Gateway(portal)
        self._has_pages = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] != PATH and not scope["path"].startswith(f"{PREFIX}/"):
            await self._gateway(scope, receive, send)
        else:
            self._add_pages()
            await super().__call__(scope, receive, send)

    def _add_pages(self) -> None:
        # They are made with the first call to them: that takes 50 ms, and most portals of tests have no such call.
        if not self._has_pages:
            self._has_pages = True
            self.include_router(control(self._portal))
            self.include_router(page())


def simulator_app(portal: Portal) -> FastAPI:
    """Return the app that serves *portal*."""
    return SimulatorApp(portal)
