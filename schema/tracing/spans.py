"""Spans, as the rest of the code makes them:

    with span(f"execute_tool {name}", attributes={TOOL_NAME: name}) as this:
        …
        this.set({TOOL_RESULT: text})

While nothing is traced, `span` returns the same span that does nothing each time, which costs less than a microsecond with its
block; OpenTelemetry's own API would cost six. What is not sampled costs the same below its root. A span's block is where it is
the current one, for spans within it, log lines and requests to others; tasks that are begun there inherit that.
"""

from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Literal, Protocol

from schema.tracing.traceparent import TraceContext

Kind = Literal["internal", "server", "client", "producer", "consumer"]
Attributes = Mapping[str, Any]
"""By the names of `attributes.py`; None means that it isn't known."""

_current: "ContextVar[Span | None]" = ContextVar("headrace_span", default=None)


class Span:
    """A span that is not recorded here, and only hands on its `context`: somebody else records it, or nobody."""

    __slots__ = ("_before", "_context")

    recording = False
    """Whether what is set is kept: ask before computing something for it."""
    key = ""
    """What the span is known by within its parent, if its id follows from that (`ids.py`)."""

    parent: "Span | None" = None
    """The span of this process that it is in."""

    def __init__(self, context: TraceContext | None = None) -> None:
        self._context = context

    @property
    def context(self) -> TraceContext | None:
        """Its place in its trace."""
        return self._context

    def set(self, attributes: Attributes) -> None:
        """Add what is known only now."""

    def rename(self, name: str) -> None:
        """Give it another name."""

    def fail(self, error_type: str) -> None:
        """It ended in this error: a code or the name of a class, never a message, which may quote what was said."""

    def end_at(self, end_ns: int) -> None:
        """End it at a time of the past, in nanoseconds since 1970, instead of with a block."""

    def __enter__(self) -> "Span":
        self._before = _current.get()
        _current.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        # Not `reset`: the block may be that of a generator, which is closed in another context than it was begun in.
        _current.set(self._before)


class _Untraced(Span):
    __slots__ = ()

    def __enter__(self) -> Span:
        return self

    def __exit__(self, *_: object) -> None:
        return None


UNTRACED = _Untraced()
"""The span of all that is not traced."""


class Recorder(Protocol):
    """What makes spans where traces are asked for (`sdk.py`)."""

    records_content: bool

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
        """Start a span. `own` is the place that it must have, `key` what its id follows from, `shared` what the spans within it
        say as well."""
        ...


_recorder: Recorder | None = None


def record_with(recorder: Recorder | None) -> None:
    """Record this process's spans from now on, or no longer."""
    global _recorder  # noqa: PLW0603 -- as metrics and loggers, there is one for a process
    _recorder = recorder


def recorder() -> Recorder | None:
    """What records this process's spans; None if nothing does."""
    return _recorder


def span(name: str, kind: Kind = "internal", attributes: Attributes | None = None, *, key: str = "") -> Span:
    """Return a span within the current one, which its `with` starts to be; nothing is recorded outside of a trace."""
    if _recorder is None:
        return UNTRACED
    within = _current.get()
    if within is None or not within.recording:
        return UNTRACED
    return _recorder.start(name, kind, attributes, within, key=key)


def entry_span(
    name: str,
    kind: Kind,
    attributes: Attributes | None = None,
    *,
    parent: TraceContext | None = None,
    links: Iterable[TraceContext] = (),
    own: TraceContext | None = None,
    shared: Attributes | None = None,
) -> Span:
    """Return a span by which work enters this process: within `parent`, which came with it, or the current span, or in a trace
    of its own. The spans within it say what is `shared`, too. While nothing is traced here, `parent` is handed on."""
    if _recorder is None:
        return UNTRACED if parent is None else Span(parent)
    within = _current.get() if parent is None else parent
    if isinstance(within, Span) and not within.recording:
        return UNTRACED
    return _recorder.start(name, kind, attributes, within, links=links, own=own, shared=shared)


def current() -> TraceContext | None:
    """Return the place of the current span; None outside of a trace."""
    here = _current.get()
    return None if here is None else here.context


def current_span() -> Span:
    """Return the current span."""
    return _current.get() or UNTRACED


def trace_headers() -> dict[str, str]:
    """Return the headers by which others know what their work belongs to."""
    here = current()
    return {} if here is None else {"traceparent": here.traceparent}


def is_recording() -> bool:
    """Whether the current span is recorded."""
    here = _current.get()
    return here is not None and here.recording


def records_content() -> bool:
    """Whether the current span may have what people and models said."""
    return _recorder is not None and _recorder.records_content and is_recording()
