"""Makes spans with OpenTelemetry's SDK. Nothing else imports it, and only where traces are asked for (`process.py`)."""

import asyncio
import threading
from collections.abc import Iterable
from types import TracebackType
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ParentBased
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from schema.errors import HeadraceError
from schema.tracing import attributes as names
from schema.tracing.ids import child_span_id
from schema.tracing.spans import Attributes, Kind, Span
from schema.tracing.traceparent import TraceContext

KINDS: dict[Kind, SpanKind] = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
}
STOPPED = (asyncio.CancelledError, GeneratorExit)


class GivenIds(RandomIdGenerator):
    """Random ids, unless the thread that starts a span has said which it must have."""

    def __init__(self) -> None:
        self._given = threading.local()

    def give(self, trace_id: str | None, span_id: str | None) -> None:
        """Set the ids of the next span that this thread starts."""
        self._given.trace_id, self._given.span_id = trace_id, span_id

    def generate_trace_id(self) -> int:
        """Return the given id, or a random one."""
        given: str | None = getattr(self._given, "trace_id", None)
        return super().generate_trace_id() if given is None else int(given, 16)

    def generate_span_id(self) -> int:
        """Return the given id, or a random one."""
        given: str | None = getattr(self._given, "span_id", None)
        return super().generate_span_id() if given is None else int(given, 16)


class RecordedSpan(Span):
    """A span of the SDK's."""

    __slots__ = ("key", "parent", "sdk_span", "shared")

    recording = True

    def __init__(self, sdk_span: trace.Span, parent: Span | None, key: str, shared: Attributes) -> None:
        super().__init__(_context_of(sdk_span))
        self.sdk_span, self.parent, self.key, self.shared = sdk_span, parent, key, shared

    def set(self, attributes: Attributes) -> None:
        """See `Span.set`."""
        self.sdk_span.set_attributes({name: value for name, value in attributes.items() if value is not None})

    def rename(self, name: str) -> None:
        """See `Span.rename`."""
        self.sdk_span.update_name(name)

    def fail(self, error_type: str) -> None:
        """See `Span.fail`."""
        self.sdk_span.set_attribute(names.ERROR_TYPE, error_type)
        self.sdk_span.set_status(Status(StatusCode.ERROR))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, frames)
        if isinstance(error, STOPPED):
            self.sdk_span.set_attribute(names.ERROR_TYPE, "cancelled")
        elif error is not None:
            self.fail(error.code if isinstance(error, HeadraceError) else type(error).__name__)
        self.sdk_span.end()

    def end_at(self, end_ns: int) -> None:
        """See `Span.end_at`."""
        self.sdk_span.end(end_ns)


class SdkRecorder:
    """Makes spans and hands them to `processor` when they end. Sampling is as OTEL_TRACES_SAMPLER says."""

    def __init__(self, processor: SpanProcessor, resource: dict[str, Any], *, records_content: bool) -> None:
        self.records_content = records_content
        self._ids = GivenIds()
        provider = TracerProvider(resource=Resource.create(resource), id_generator=self._ids, shutdown_on_exit=False)
        provider.add_span_processor(processor)
        self._follows_parents = isinstance(provider.sampler, ParentBased)
        self._tracer = provider.get_tracer("headrace")

    def start(
        self,
        name: str,
        kind: Kind,
        attributes: Attributes | None,
        parent: Span | TraceContext | None,
        *,
        links: Iterable[TraceContext] = (),
        own: TraceContext | None = None,
        key: str = "",
        shared: Attributes | None = None,
        start_ns: int | None = None,
    ) -> Span:
        """See `Recorder.start`."""
        if self._follows_parents and isinstance(parent, TraceContext) and not parent.sampled:
            return Span(parent)  # what the sampler would say, at a hundredth of the price
        shared = shared or (parent.shared if isinstance(parent, RecordedSpan) else {})
        within = parent.context if isinstance(parent, Span) else parent
        span_id = own.span_id if own is not None else child_span_id(within.span_id, key) if key and within else None
        self._ids.give(own.trace_id if own is not None else None, span_id)
        try:
            made = self._tracer.start_span(
                name,
                _sdk_context(parent),
                KINDS[kind],
                {name: value for name, value in {**shared, **(attributes or {})}.items() if value is not None},
                [Link(_sdk_span_context(one)) for one in links],
                start_ns,
            )
        finally:
            self._ids.give(None, None)
        if not made.is_recording():
            return Span(_context_of(made))
        return RecordedSpan(made, parent if isinstance(parent, Span) else None, key, shared)


def _context_of(span: trace.Span) -> TraceContext:
    made = span.get_span_context()
    return TraceContext(f"{made.trace_id:032x}", f"{made.span_id:016x}", made.trace_flags.sampled)


def _sdk_context(parent: Span | TraceContext | None) -> Context:
    """Return the SDK's view of a parent: never what happens to be its own current span."""
    if isinstance(parent, RecordedSpan):
        return trace.set_span_in_context(parent.sdk_span, Context())
    within = parent.context if isinstance(parent, Span) else parent
    if within is None:
        return Context()
    return trace.set_span_in_context(trace.NonRecordingSpan(_sdk_span_context(within)), Context())


def _sdk_span_context(context: TraceContext) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if context.sampled else TraceFlags.DEFAULT)
    return SpanContext(int(context.trace_id, 16), int(context.span_id, 16), is_remote=True, trace_flags=flags)
