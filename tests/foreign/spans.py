"""The spans that are recorded meanwhile, by an OpenTelemetry SDK of the test's own."""

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext

from schemas.envelope import Headers

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
ANOTHER = "00-11111111111111111111111111111111-2222222222222222-01"
NOT_SAMPLED = "00-33333333333333333333333333333333-4444444444444444-00"
RUBBISH = "00-no such trace-01"


class Spans:
    """`tracer` makes them, as an application does; `one` is what came of it."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = provider.get_tracer("tests")

    @property
    def one(self) -> ReadableSpan:
        """The only one that ended."""
        (span,) = self._exporter.get_finished_spans()
        return span


def linked(span: ReadableSpan) -> list[str]:
    """Return what *span* is linked to."""
    return [traceparent_of(link.context) for link in span.links]


def traceparent_of(context: SpanContext) -> str:
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def headers_of(traceparent: str) -> list[tuple[str, bytes]]:
    """Return the headers of a record from the trace."""
    return Headers("id", "nova_earned", 1, traceparent).encode()
