"""Spans of calls to HubSpot, linked to the traces of the events that a call is about."""

from collections.abc import Iterable
from contextlib import AbstractContextManager

import httpx
from opentelemetry.trace import Span, SpanKind

from hubspot_consumer.records import Record
from runtime.tracing import failed, linked_span


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
