"""Tracing: spans of work on several events at once, linked to the events' traces.

Without an OpenTelemetry SDK nothing is recorded, and the events' trace contexts are not read. A span contains no data
of contacts and no message of an exception, only its type.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from opentelemetry import trace
from opentelemetry.trace import Span, SpanContext, SpanKind, StatusCode, format_trace_id
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_TRACER: Final = trace.get_tracer("nerava-lifecycle")
_W3C: Final = TraceContextTextMapPropagator()


@contextmanager
def linked_span(
    name: str, kind: SpanKind, attributes: Mapping[str, str | int], traceparents: Iterable[str | None]
) -> Iterator[Span]:
    """Record a span, with a link for each trace of *traceparents*. Invalid ones are ignored."""
    with _TRACER.start_as_current_span(
        name, kind=kind, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as span:
        if span.is_recording():
            # Many events may share one span, and an SDK stores a limited number of links.
            for traceparent in dict.fromkeys(traceparents):
                context = _context(traceparent)
                # An invalid traceparent has no trace, and an unsampled one has no recorded trace: neither needs a link.
                if context.trace_flags.sampled:
                    span.add_link(context)
        try:
            yield span
        except BaseException as error:
            failed(span, type(error).__name__)
            raise


def failed(span: Span, error_type: str) -> None:
    """Mark *span* as failed."""
    span.set_attribute("error.type", error_type)
    span.set_status(StatusCode.ERROR)


def trace_id_of(traceparent: str | None) -> str | None:
    """Return the trace id in a W3C traceparent, None for an invalid one."""
    context = _context(traceparent)
    return format_trace_id(context.trace_id) if context.is_valid else None


def recorded_trace_id_of(traceparent: str | None) -> str | None:
    """Return the trace id in a W3C traceparent if the trace is recorded (sampled), None otherwise."""
    context = _context(traceparent)
    return format_trace_id(context.trace_id) if context.is_valid and context.trace_flags.sampled else None


def current_trace_id() -> str | None:
    """Return the trace id of the current span, None if none is recorded."""
    context = trace.get_current_span().get_span_context()
    return format_trace_id(context.trace_id) if context.is_valid else None


def _context(traceparent: str | None) -> SpanContext:
    return trace.get_current_span(_W3C.extract({"traceparent": traceparent or ""})).get_span_context()
