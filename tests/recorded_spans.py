"""Records the spans of this process, for tests that run what they test themselves."""

import contextlib
from collections.abc import Iterator

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from schema.tracing.sdk import SdkRecorder
from schema.tracing.spans import record_with


class Recorded:
    """The spans that have ended."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()

    def all(self) -> list[ReadableSpan]:
        """In the order of their ends."""
        return list(self.exporter.get_finished_spans())

    def one(self, name: str) -> ReadableSpan:
        """The only span of this name."""
        (found,) = [span for span in self.all() if span.name == name]
        return found

    def names(self) -> list[str]:
        return [span.name for span in self.all()]


@contextlib.contextmanager
def recorded_spans(*, content: bool = False) -> Iterator[Recorded]:
    """Record until the block ends."""
    recorded = Recorded()
    record_with(SdkRecorder(SimpleSpanProcessor(recorded.exporter), {"service.name": "test"}, records_content=content))
    try:
        yield recorded
    finally:
        record_with(None)
