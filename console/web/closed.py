"""The console to which nobody can sign in: it stays up, so that its pages say which setting it needs."""

from typing import Final

from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException

from console.web.app import HEADERS
from runtime.http.server import application

CLOSED: Final = (
    "Nobody can sign in to this console: set CONSOLE_OPERATOR_TOKEN, to what `openssl rand -hex 32` prints, and start"
    " it again."
)


def closed_console() -> FastAPI:
    """Return the application that says so in place of every page. It shows no data, and is alive."""
    app = application("Console", unwell=lambda: {"sign_in": CLOSED}, also=dict, metrics=CollectorRegistry())

    # No page exists, so each request for one ends here.
    @app.exception_handler(HTTPException)
    async def closed(_: Request, __: HTTPException) -> Response:
        return PlainTextResponse(f"{CLOSED}\n", 503, headers=HEADERS)

    return app
