"""The gateway: the ASGI app of HubSpot's API. It checks token, scopes and quota of each call before its operation.

Operations never await, so each call takes effect atomically.
"""

import asyncio
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

import httpx
from starlette.types import Receive, Scope, Send

from sandbox.hubspot.faults.breakage import ConnectionLost, answer_wrongly
from sandbox.hubspot.faults.known_answers import known_answer
from sandbox.hubspot.http import routes
from sandbox.hubspot.http.answers import Answer, Refused, rate_limited
from sandbox.hubspot.http.auth import masked
from sandbox.hubspot.http.calls import Call, read_query
from sandbox.hubspot.http.quota import QuotaKind
from sandbox.hubspot.http.request_log import Request
from sandbox.hubspot.http.routes import Route
from sandbox.hubspot.records.portal import Portal

_UNKNOWN_PATH: Final = "(unknown)"


@dataclass(slots=True)
class _Exchange:
    """The log data of a call, as far as they are known."""

    started: str
    path: str = _UNKNOWN_PATH
    by_fault: bool = False
    quota: QuotaKind = "none"


class Gateway:
    def __init__(self, portal: Portal) -> None:
        self._portal = portal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call, authorization = await _read(scope, receive)
        exchange = _Exchange(started=self._portal.clock.timestamp())
        try:
            answer: Answer | None = await self._answer(call, authorization, exchange, receive)
        except Refused as refused:
            answer = refused.answer
        except ConnectionLost:
            answer = None
        self._log(call, exchange, answer)
        if answer is None:
            await _drop(receive, send)
        else:
            await _send(answer, self._headers(call, exchange), send)

    async def _answer(self, call: Call, authorization: str, exchange: _Exchange, receive: Receive) -> Answer:
        portal = self._portal
        route = routes.find(call, portal.settings.moved_paths)
        exchange.path = route.path
        if route.operation.needs_token:
            if portal.settings.malformed_credentials == "no_route" and portal.tokens.is_malformed(authorization):
                return known_answer("token_of_another_region", portal.burst_group)
            call.token = portal.tokens.authenticate(authorization)
            portal.tokens.authorise(call.token, route.operation.scopes)
        exchange.quota = route.operation.quota
        self._spend(call.token, exchange.quota)
        if portal.settings.latency_ms:
            await asyncio.sleep(portal.settings.latency_ms / 1000)
        return await self._perform(call, route, exchange, receive)

    async def _perform(self, call: Call, route: Route, exchange: _Exchange, receive: Receive) -> Answer:
        portal = self._portal

        def handle() -> Answer:
            return route.operation.handle(portal, call)

        async def wait(seconds: float) -> None:
            await _wait_for_caller(receive, seconds)

        fault = portal.faults.choose(call) if portal.faults.rules else None
        if fault is None:
            return handle()
        exchange.by_fault = True
        return await answer_wrongly(portal, call, fault, handle, wait)

    def _spend(self, token: str, kind: QuotaKind) -> None:
        portal = self._portal
        policy = portal.quota.admit(token, portal.settings, kind)
        if policy is None:
            return
        answer = rate_limited(policy, portal.burst_group)
        if portal.settings.retry_after_on_429:
            answer.headers["Retry-After"] = str(portal.quota.retry_after(token, policy, portal.settings))
        raise Refused(answer)

    def _headers(self, call: Call, exchange: _Exchange) -> dict[str, str]:
        return self._portal.quota.headers(call.token, self._portal.settings, exchange.quota)

    def _log(self, call: Call, exchange: _Exchange, answer: Answer | None) -> None:
        self._portal.log.add(
            Request(
                time=exchange.started,
                method=call.method,
                path=exchange.path,
                status=answer.status if answer else None,
                token=masked(call.token),
                inputs=call.count_inputs(),
                caused_by_fault=exchange.by_fault,
            )
        )


async def _read(scope: Scope, receive: Receive) -> tuple[Call, str]:
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    # The raw path is split before it is decoded: an email may contain an encoded slash.
    raw_path = scope.get("raw_path") or scope["path"].encode()
    # HubSpot's own SDK ends the path of occurrences with a slash.
    path = raw_path.decode("latin-1").split("?")[0][1:].removesuffix("/")
    segments = tuple(unquote(segment) for segment in path.split("/"))
    headers = {name: value.decode("latin-1") for name, value in scope["headers"] if name in (b"authorization", b"host")}
    call = Call(scope["method"], segments, read_query(scope["query_string"]), "", body, headers.get(b"host", ""))
    return call, headers.get(b"authorization", "")


async def _send(answer: Answer, quota_headers: dict[str, str], send: Send) -> None:
    body = answer.body()
    headers = {"X-HubSpot-Correlation-Id": answer.correlation_id(), **quota_headers, **answer.headers}
    if answer.status != 204:
        headers |= {"Content-Type": answer.media_type, "Content-Length": str(len(body))}
    encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})


async def _drop(receive: Receive, send: Send) -> None:
    """Drop the connection under uvicorn; under httpx's ASGITransport, raise the error of a dropped connection."""
    # ASGI has no message for it, but uvicorn's `send` is a method of the object that has the connection.
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if not isinstance(transport, asyncio.Transport):
        raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
    transport.abort()
    # If this function returned before the disconnect, uvicorn would answer with 500.
    while (await receive())["type"] != "http.disconnect":
        pass


async def _wait_for_caller(receive: Receive, seconds: float) -> None:
    """Return after *seconds*, or as soon as the caller disconnects."""
    try:
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return
