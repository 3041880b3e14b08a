"""The connection to HubSpot: a connection pool, the token on each call, and a limit on the size of answers."""

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Final

import httpx
from opentelemetry.trace import Span, SpanKind
from pydantic import SecretStr

from hubspot_consumer.kafka.records import Record
from runtime.logs import log
from runtime.tracing import linked_span

# Each timeout is well below Kafka's rebalance timeout: the revocation of a partition waits for calls in flight.
TIMEOUT: Final = httpx.Timeout(connect=5, read=20, write=10, pool=20)
# An answer with a hundred contacts and all their properties is below 1 MiB.
LARGEST_ANSWER: Final = 16 * 1024 * 1024

ReadToken = Callable[[], SecretStr | None]
"""Returns the token that is configured now. Raises ValueError if it can't be read."""


class AnswerTooLarge(httpx.TransportError):
    """An answer larger than any of HubSpot's: a proxy sent it, or it has no end."""


def http_client(
    base_url: str, read_token: ReadToken, transport: httpx.AsyncBaseTransport | None = None
) -> httpx.AsyncClient:
    """Return the connection pool to HubSpot, which adds the token to each request."""
    return httpx.AsyncClient(
        base_url=base_url,
        auth=Token(read_token),
        headers={"User-Agent": "nerava-lifecycle"},
        timeout=TIMEOUT,
        limits=httpx.Limits(max_connections=32, max_keepalive_connections=32),
        transport=transport,
    )


async def request(
    http: httpx.AsyncClient,
    method: str,
    path: str,
    body: Mapping[str, Any] | None = None,
    parameters: Mapping[str, str] | None = None,
) -> httpx.Response:
    """Return an answer with its whole body. Raises httpx.RequestError if there is none, or if it is too large."""
    async with http.stream(method, path, json=body, params=parameters) as response:
        content = bytearray()
        async for part in response.aiter_bytes():
            content += part
            if len(content) > LARGEST_ANSWER:
                raise AnswerTooLarge(f"an answer of over {LARGEST_ANSWER} bytes", request=response.request)
    # The content is decompressed already. Headers stay bytes: they may be no ASCII.
    headers = [(name, value) for name, value in response.headers.raw if name.lower() != b"content-encoding"]
    read = httpx.Response(response.status_code, headers=headers, content=bytes(content), request=response.request)
    read.elapsed = response.elapsed
    return read


class Token(httpx.Auth):
    """Adds the token to each request. After a 401 it reads the token again and, if that differs, repeats the request
    once.
    """

    def __init__(self, read: ReadToken) -> None:
        self._read = read
        self._token = read() or SecretStr("")

    @property
    def secret(self) -> str:
        """The token that requests carry now."""
        return self._token.get_secret_value()

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        sent = self._token
        request.headers["Authorization"] = f"Bearer {self.secret}"
        response = yield request
        if response.status_code != 401:
            return
        if self._token == sent:
            # Several calls in flight may get a 401 at once: only the first of them reads the token.
            self._token = self._read_again() or sent
        if self._token != sent:
            log.warning("hubspot.token_read_again")
            request.headers["Authorization"] = f"Bearer {self.secret}"
            yield request

    def _read_again(self) -> SecretStr | None:
        try:
            return self._read()
        except ValueError as error:
            log.warning("hubspot.token_not_read", why=str(error))
            return None


def call_span(base: httpx.URL, method: str, path: str, records: Iterable[Record]) -> AbstractContextManager[Span]:
    """Record a span of the call. Spans are named by path: paths contain no data of a contact, and there are few of
    them.
    """
    attributes: dict[str, str | int] = {
        "http.request.method": method,
        "server.address": base.host,
        "server.port": base.port or (443 if base.scheme == "https" else 80),
        "url.full": f"{base.scheme}://{base.netloc.decode()}{base.path.rstrip('/')}{path}",
        "url.path": path,
    }
    return linked_span(f"{method} {path}", SpanKind.CLIENT, attributes, (record.traceparent for record in records))
