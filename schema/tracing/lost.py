"""Spans of a worker that was killed, recorded in its stead by the attempt that follows: the attempt's own, and those of the
nodes and tool calls that were under way. Without them, what had ended within them would belong to nothing.

The attempt that follows continues where the state was stored, so what it does first is what was under way.
"""

from contextvars import ContextVar
from datetime import datetime

import msgspec

from schema.tracing import attributes as names
from schema.tracing.ids import child_span_id
from schema.tracing.spans import Attributes, Kind, Span, current_span, recorder
from schema.tracing.traceparent import TraceContext


class LostAttempt(msgspec.Struct):
    """An attempt that was lost, the place of its span, and from when to when it ran. `shared` is what all its
    spans say. `continued` are the spans of this attempt
    that continue one of the lost attempt's, with the place of that; `first_steps` are the steps with which graphs began within
    them."""

    context: TraceContext
    began_at: datetime
    ended_at: datetime
    shared: Attributes
    continued: dict[str, TraceContext] = msgspec.field(default_factory=dict[str, TraceContext])
    first_steps: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    recorded: set[str] = msgspec.field(default_factory=set[str])


_lost: "ContextVar[LostAttempt | None]" = ContextVar("headrace_lost_attempt", default=None)


def record_lost_attempt(
    lost: LostAttempt, name: str, attributes: Attributes, *, parent: TraceContext | None, follower: Span
) -> None:
    """Record the span of a lost attempt. Its `follower` continues it, with what is done there from now on."""
    if follower.context is not None:
        lost.continued[follower.context.span_id] = lost.context
        _record(lost, lost.context, name, "consumer", attributes, parent)
        _lost.set(lost)


def forget_lost_attempt() -> None:
    """The attempt that follows has ended."""
    _lost.set(None)


def note_step(node: Span, step: int) -> None:
    """Note that `node`, the current span, is that of a graph's node in this step of the graph."""
    lost, parent, place = _lost.get(), node.parent, node.context
    if lost is None or parent is None or parent.context is None or place is None:
        return
    before = lost.continued.get(parent.context.span_id)
    if before is not None and lost.first_steps.setdefault(parent.context.span_id, step) == step:
        lost.continued[place.span_id] = TraceContext(before.trace_id, child_span_id(before.span_id, node.key))


def record_lost_node(name: str, attributes: Attributes) -> None:
    """Record the node that the current span, a node's, continues, if it does."""
    lost, node = _lost.get(), current_span()
    if lost is None or node.context is None or node.parent is None or node.parent.context is None:
        return
    place = lost.continued.get(node.context.span_id)
    if place is not None:
        _record(lost, place, name, "internal", attributes, lost.continued[node.parent.context.span_id])


def record_lost_call(name: str, attributes: Attributes, *, key: str) -> None:
    """Record a tool call, known by `key`, that was under way in the node that the current span continues, if it does."""
    lost, node = _lost.get(), current_span()
    before = None if lost is None or node.context is None else lost.continued.get(node.context.span_id)
    if lost is not None and before is not None:
        place = TraceContext(before.trace_id, child_span_id(before.span_id, key))
        _record(lost, place, name, "internal", attributes, before)


def _record(
    lost: LostAttempt,
    place: TraceContext,
    name: str,
    kind: Kind,
    attributes: Attributes,
    parent: TraceContext | None,
) -> None:
    here = recorder()
    if here is None or place.span_id in lost.recorded:
        return
    lost.recorded.add(place.span_id)
    made = here.start(
        name,
        kind,
        {**lost.shared, **attributes, names.LOST: True},
        parent,
        own=place,
        start_ns=_nanoseconds(lost.began_at),
    )
    made.fail("worker_lost")
    made.end_at(_nanoseconds(lost.ended_at))


def _nanoseconds(at: datetime) -> int:
    return int(at.timestamp() * 1e6) * 1000
