"""The connection to HubSpot: a connection pool, the token on each call, limits on the time and size of answers, and the
calls themselves.
"""

import asyncio
import ssl
import zlib
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import AbstractContextManager
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from itertools import chain
from typing import Any, Final, NamedTuple, cast

import httpx
from opentelemetry.trace import Span, SpanKind
from pydantic import SecretStr
from pydantic_core import to_json

from hubspot_consumer.hubspot.outcomes import RetryLater
from hubspot_consumer.hubspot.rate_limiter import RateLimiter
from hubspot_consumer.hubspot.requests import Note, TimelineEntry, Upsert
from hubspot_consumer.hubspot.status_codes import Answer, correlation_id, policy_of, quota_spent_for, succeeded
from hubspot_consumer.kafka.records import Record
from runtime.logs import log
from runtime.tracing import failed, linked_span

# Without data for this long a call is given up. Kafka's rebalance timeout is longer: the revocation of a partition
# waits for calls in flight.
TIMEOUT: Final = httpx.Timeout(connect=5, read=20, write=10, pool=20)
# A server that sends a byte a second never reaches the timeouts above, so the whole call has this limit.
CALL_WITHIN_S: Final = 35.0
# An answer with a hundred contacts and all their properties is below 1 MiB. A letter outside of Unicode's first plane
# makes Python's text four times as large as the answer, and so are the texts in it.
LARGEST_ANSWER: Final = 4 * 1024 * 1024
# A list of definitions has all options of all properties of a portal. No worker asks for one.
LARGEST_LIST: Final = 8 * 1024 * 1024
# Kinds of calls whose answers may be as large as that.
_LISTS: Final = ("list", "event_definitions")
# As Python's objects, a JSON document takes up to 25 times the memory of its text, but at most 250 bytes a value.
MOST_VALUES: Final = 250_000
# Servers send some KiB at a time. Each part takes as long to read as a KiB, so many small ones would stop all else.
MOST_PARTS: Final = 10_000
# HubSpot's proxy answers 530 for a token from which it can't tell the portal's data centre.
TOKEN_REFUSED: Final = frozenset({401, 530})
# zlib's number for the format of gzip.
_GZIP: Final = zlib.MAX_WBITS | 16

ReadToken = Callable[[], SecretStr | None]
"""Returns the token that is configured now. Raises ValueError if it can't be read."""


class AnswerTooLarge(httpx.TransportError):
    """An answer larger than any of HubSpot's: a proxy sent it, or it has no end."""


class AnswerTooSlow(httpx.TimeoutException):
    """An answer that was not complete after CALL_WITHIN_S."""


class AnswerUnreadable(httpx.DecodingError):
    """An answer that is compressed otherwise than once with gzip, or that ends in the middle."""


def http_client(
    base_url: str, read_token: ReadToken, transport: httpx.AsyncBaseTransport | None = None
) -> httpx.AsyncClient:
    """Return the connection pool to HubSpot, which adds the token to each request, for `request`."""
    return httpx.AsyncClient(
        base_url=base_url,
        auth=Token(read_token),
        # Only one coding is decoded, so httpx must not offer all that it knows.
        headers={"User-Agent": "nerava-lifecycle", "Accept-Encoding": "gzip"},
        # No cookie is kept: HubSpot's API needs none, and a jar could grow with each answer.
        cookies=CookieJar(DefaultCookiePolicy(netscape=False)),
        timeout=TIMEOUT,
        limits=httpx.Limits(max_connections=32, max_keepalive_connections=32),
        verify=_trusted(),
        transport=transport,
    )


@cache
def _trusted() -> ssl.SSLContext:
    # The certificates take longer to load than all else of a client, and each run of a console makes several.
    return httpx.create_ssl_context()


async def request(  # noqa: PLR0913 - the parts of a request, and one of its answer
    http: httpx.AsyncClient,
    method: str,
    path: str,
    body: Mapping[str, Any] | None = None,
    parameters: Mapping[str, str] | None = None,
    *,
    of_a_list: bool = False,
) -> httpx.Response:
    """Return an answer with its whole body, decoded. Raises httpx.RequestError if there is none within the limits.

    An answer *of_a_list* of definitions may be larger. After a status of TOKEN_REFUSED the token is read again and, if
    that differs, the request is repeated once.
    """
    # httpx would write the same bytes in three times the time.
    content, headers = (None, None) if body is None else (to_json(body), {"Content-Type": "application/json"})
    asked = http.build_request(method, path, content=content, headers=headers, params=parameters)
    largest = LARGEST_LIST if of_a_list else LARGEST_ANSWER
    try:
        async with asyncio.timeout(CALL_WITHIN_S):
            answer = await _answer(http, asked, largest)
            if answer.status_code in TOKEN_REFUSED and isinstance(http.auth, Token) and http.auth.differs_from(asked):
                log.warning("hubspot.token_read_again")
                answer = await _answer(http, asked, largest)
            return answer
    except TimeoutError:
        raise AnswerTooSlow(f"no complete answer within {CALL_WITHIN_S:g} s", request=asked) from None


async def _answer(http: httpx.AsyncClient, asked: httpx.Request, largest: int) -> httpx.Response:
    # httpx would decode each part as a whole, whatever its size then is, so the answer is read as it came.
    response = await http.send(asked, stream=True)
    try:
        content = await _content(response, largest)
    finally:
        await response.aclose()
    # The content is decoded already. Headers stay bytes: they may be no ASCII.
    headers = [(name, value) for name, value in response.headers.raw if name.lower() != b"content-encoding"]
    read = httpx.Response(response.status_code, headers=headers, content=content, request=asked)
    read.elapsed = response.elapsed
    return read


async def _content(response: httpx.Response, largest: int) -> bytes:
    codings = response.headers.get_list("Content-Encoding", split_commas=True)
    named = [name for one in codings if (name := one.strip().lower()) not in ("", "identity")]
    if named not in ([], ["gzip"], ["x-gzip"]):
        raise AnswerUnreadable("an answer that is compressed several times, or in an unknown way")
    decoder = zlib.decompressobj(_GZIP) if named else None
    content, received, parts = bytearray(), 0, 0
    async for part in cast("httpx.AsyncByteStream", response.stream):
        received, parts = received + len(part), parts + 1
        try:
            # A byte beyond the limit shows that there are more.
            content += part if decoder is None else decoder.decompress(part, largest + 1 - len(content))
        except zlib.error:
            raise AnswerUnreadable("an answer that is no gzip, although it says so") from None
        if max(received, len(content)) > largest or parts > MOST_PARTS:
            raise AnswerTooLarge(f"an answer of over {largest} bytes, or {MOST_PARTS} parts")
    if decoder is not None and received and not decoder.eof:
        raise AnswerUnreadable("an answer that ends in the middle of its gzip")
    if sum(content.count(mark) for mark in b",[{") > MOST_VALUES:
        raise AnswerTooLarge(f"an answer of over {MOST_VALUES} values")
    return bytes(content)


class Token(httpx.Auth):
    """Adds the token to each request."""

    def __init__(self, read: ReadToken) -> None:
        self._read = read
        self._token = read() or SecretStr("")

    @property
    def secret(self) -> str:
        """The token that requests carry now."""
        return self._token.get_secret_value()

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = self._header
        yield request

    def differs_from(self, refused: httpx.Request) -> bool:
        """Return whether another token is configured than that of the *refused* request; read it again if need be."""
        # Several calls in flight may be refused at once: only the first of them reads the token.
        if self._header == refused.headers["Authorization"]:
            self._token = self._read_again() or self._token
        return self._header != refused.headers["Authorization"]

    @property
    def _header(self) -> str:
        return f"Bearer {self.secret}"

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


class CallMade(NamedTuple):
    """A call: its kind, its HTTP status or the name of its exception, the number of its inputs, and HubSpot's response
    time.
    """

    kind: str
    status: str
    inputs: int
    seconds: float | None


CallCounter = Callable[[CallMade], None]


class Calls:
    """Makes calls through *http*; *count* is called with each."""

    def __init__(self, http: httpx.AsyncClient, rate_limiter: RateLimiter, count: CallCounter) -> None:
        self._http = http
        self._rate_limiter = rate_limiter
        self._count = count

    async def make(  # noqa: PLR0913 - the parts of a call, by name
        self,
        kind: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        parameters: Mapping[str, str] | None = None,
        method: str | None = None,
        sources: Iterable[Upsert | TimelineEntry | Note] = (),
    ) -> Answer:
        """Return the answer to a POST of *body*, or to a GET without one, unless *method* names another. The span names
        the records of *sources*.
        """
        method = method or ("GET" if body is None else "POST")
        records = chain.from_iterable(one.records for one in sources)
        inputs = len((body or {}).get("inputs", ()))
        try:
            with call_span(self._http.base_url, method, path, records) as span:
                response = await request(self._http, method, path, body, parameters, of_a_list=kind in _LISTS)
                span.set_attribute("http.response.status_code", response.status_code)
                if not succeeded(response):
                    failed(span, str(response.status_code))
                    log.info(
                        "hubspot.refused",
                        kind=kind,
                        status=response.status_code,
                        policy=policy_of(response),
                        correlation_id=correlation_id(response),
                    )
        # httpx raises InvalidURL, which is no RequestError, for a cursor of HubSpot's that is too long for an address.
        except (httpx.RequestError, httpx.InvalidURL) as error:
            # After a timeout or a reset it is unknown whether a write was applied. All our writes may be repeated.
            self._count(CallMade(kind, type(error).__name__, inputs, None))
            log.info("hubspot.not_answered", kind=kind, error=type(error).__name__)
            too_large = isinstance(error, AnswerTooLarge)
            return RetryLater(f"no answer: {type(error).__name__}", outage=True, too_large=too_large)
        self._count(CallMade(kind, str(response.status_code), inputs, response.elapsed.total_seconds()))
        self._rate_limiter.observe(response.headers)
        if (wait := quota_spent_for(response)) is not None:
            pause = self._rate_limiter.pause_events if kind == "send" else self._rate_limiter.pause
            pause(wait.total_seconds())
        return response
