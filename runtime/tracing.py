"""Tracing: a span of what is done for many events at once, linked to the traces that the events come from.

Until somebody sets an OpenTelemetry SDK up nothing is recorded, and nothing is read of the events. No span says whom an
event is about, nor what a fault has to say: its name is enough.
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
    """Record a span, with a link for each trace of *traceparents*; one that is not W3C's is passed over."""
    with _TRACER.start_as_current_span(
        name, kind=kind, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as span:
        if span.is_recording():
            # Many events may come from one span, and an SDK keeps a limited number of links.
            for traceparent in dict.fromkeys(traceparents):
                _link(span, traceparent)
        try:
            yield span
        except BaseException as error:
            failed(span, type(error).__name__)
            raise


def failed(span: Span, error_type: str) -> None:
    """Say that what *span* is about failed."""
    span.set_attribute("error.type", error_type)
    span.set_status(StatusCode.ERROR)


def trace_id_of(traceparent: str | None) -> str | None:
    """Return the trace that a W3C traceparent is of; None for one that can't be read."""
    context = _context(traceparent)
    return format_trace_id(context.trace_id) if context.is_valid else None


def recorded_trace_id_of(traceparent: str | None) -> str | None:
    """Return the same where somebody records that trace; None where nobody does."""
    context = _context(traceparent)
    return format_trace_id(context.trace_id) if context.is_valid and context.trace_flags.sampled else None


def current_trace_id() -> str | None:
    """Return the trace of the span that what runs now is in; None where nobody records one."""
    context = trace.get_current_span().get_span_context()
    return format_trace_id(context.trace_id) if context.is_valid else None


def _link(span: Span, traceparent: str | None) -> None:
    context = _context(traceparent)
    # Neither what can't be read, which is of no trace, nor what nobody recorded leads anywhere.
    if context.trace_flags.sampled:
        span.add_link(context)


def _context(traceparent: str | None) -> SpanContext:
    return trace.get_current_span(_W3C.extract({"traceparent": traceparent or ""})).get_span_context()
