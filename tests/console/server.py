"""The console in this process, as `python -m console` wires it, without the services that it looks at."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from console.serve import wire
from console.settings import Settings
from console.web.access import SIGN_IN
from hubspot_consumer.settings import Settings as ConsumerSettings
from runtime.clock import Clock
from tests.clock import OwnedClock
from tests.pipeline import OPERATOR_TOKEN, READER_TOKEN

NONE: Mapping[str, Any] = {}
URL = "http://console.example.com"


def settings(folder: Path, **changes: Any) -> Settings:
    """Return settings of a console that two tokens open, and whose Kafka does not answer."""
    given = {
        "kafka_bootstrap_servers": "127.0.0.1:1",
        "console_operator_token": OPERATOR_TOKEN,
        "console_reader_token": READER_TOKEN,
        "console_folder": folder,
    }
    return Settings(**{**given, **changes})


def application(folder: Path, changes: Mapping[str, Any] = NONE, clock: Clock | None = None) -> FastAPI:
    """Return the console with these *changes* of its settings."""
    http = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(503)))
    return wire(settings(folder, **changes), ConsumerSettings(), http, clock or OwnedClock()).app


def routes(app: FastAPI) -> list[tuple[str, str]]:
    """Return the method and path of all that *app* answers, but for what never changes: `/static`."""
    return sorted(
        (method, route.path)
        for route in _flat(app.routes)
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    )


def _flat(routes: Iterable[BaseRoute]) -> Iterator[BaseRoute]:
    for route in routes:
        # FastAPI keeps a router that was included as it is.
        included = getattr(route, "original_router", None)
        yield from (route,) if included is None else _flat(included.routes)


class Visitor:
    """Somebody with a browser, whose requests come from *address*."""

    def __init__(self, app: FastAPI, address: str = "192.0.2.1", headers: dict[str, str] | None = None) -> None:
        transport = httpx.ASGITransport(app, client=(address, 1234))
        self.http = httpx.AsyncClient(transport=transport, base_url=URL, headers=headers)

    async def csrf(self) -> str:
        """Return the token of a page that they were given."""
        return await csrf_of(self.http)

    async def sign_in(self, token: str, **headers: str) -> httpx.Response:
        return await sign_in(self.http, token, **headers)


async def csrf_of(http: httpx.AsyncClient) -> str:
    page = await http.get("/", follow_redirects=True)
    found = re.search(r'X-CSRF-Token": "([\w-]+)"', page.text)
    assert found, page.text
    return found[1]


async def sign_in(http: httpx.AsyncClient, token: str, **headers: str) -> httpx.Response:
    form = {"token": token, "csrf": await csrf_of(http), "after": "/"}
    return await http.post(SIGN_IN, data=form, headers=headers)
