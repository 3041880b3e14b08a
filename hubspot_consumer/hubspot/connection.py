"""The connection to HubSpot: a pool of connections, the token on each call, and a bound on what an answer may hold."""

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Final

import httpx
from opentelemetry.trace import Span, SpanKind
from pydantic import SecretStr

from hubspot_consumer.kafka.records import Record
from runtime.logs import logger
from runtime.tracing import failed, linked_span

log = logger()

# Each well below Kafka's rebalance timeout: a revoked partition waits for the calls in flight.
TIMEOUT: Final = httpx.Timeout(connect=5, read=20, write=10, pool=20)
# A hundred contacts with all that HubSpot tells of them are under 1 MiB.
LARGEST_ANSWER: Final = 16 * 1024 * 1024

ReadToken = Callable[[], SecretStr | None]
"""Returns the token as it is configured now. Raises ValueError where that can't be read."""


class AnswerTooLarge(httpx.TransportError):
    """An answer that HubSpot would not give: a proxy's, or one without an end."""


def http_client(
    base_url: str, read_token: ReadToken, transport: httpx.AsyncBaseTransport | None = None
) -> httpx.AsyncClient:
    """Return the connection pool to HubSpot. The token is in it and nowhere else."""
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
    """Return an answer, read. Raises httpx.RequestError for none, and for one that is too large."""
    async with http.stream(method, path, json=body, params=parameters) as response:
        content = bytearray()
        async for part in response.aiter_bytes():
            content += part
            if len(content) > LARGEST_ANSWER:
                raise AnswerTooLarge(f"an answer of over {LARGEST_ANSWER} bytes", request=response.request)
    # It is decompressed by now.
    headers = [(name, value) for name, value in response.headers.items() if name != "content-encoding"]
    read = httpx.Response(response.status_code, headers=headers, content=bytes(content), request=response.request)
    read.elapsed = response.elapsed
    return read


class Token(httpx.Auth):
    """Sends the token; where it is refused, reads it again, and if that is another one, asks again once."""

    def __init__(self, read: ReadToken) -> None:
        self._read = read
        self._token = read() or SecretStr("")

    @property
    def secret(self) -> str:
        """The token as it is sent now."""
        return self._token.get_secret_value()

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        sent = self._token
        request.headers["Authorization"] = f"Bearer {self.secret}"
        response = yield request
        if response.status_code != 401:
            return
        if self._token == sent:
            # Several calls in flight are refused at once: the first of them looks.
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
    """Record the call that is made meanwhile. Paths hold nothing of a contact, and are few: spans are named by them."""
    attributes: dict[str, str | int] = {
        "http.request.method": method,
        "server.address": base.host,
        "server.port": base.port or (443 if base.scheme == "https" else 80),
        "url.full": f"{base.scheme}://{base.netloc.decode()}{base.path.rstrip('/')}{path}",
        "url.path": path,
    }
    return linked_span(f"{method} {path}", SpanKind.CLIENT, attributes, (record.traceparent for record in records))


def answered(span: Span, response: httpx.Response) -> None:
    """Say how HubSpot answered: a refusal is an error."""
    span.set_attribute("http.response.status_code", response.status_code)
    if not response.is_success:
        failed(span, str(response.status_code))
