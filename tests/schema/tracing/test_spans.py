"""Spans of one process: which is the current one, what is recorded, and what costs nothing."""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import uuid4

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from schema.errors import NotFound
from schema.tracing.ids import attempt_context, child_span_id
from schema.tracing.lost import (
    LostAttempt,
    forget_lost_attempt,
    note_step,
    record_lost_attempt,
    record_lost_call,
    record_lost_node,
)
from schema.tracing.spans import UNTRACED, current, entry_span, is_recording, records_content, span, trace_headers
from schema.tracing.traceparent import TraceContext
from tests.recorded_spans import recorded_spans

CALLER = TraceContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
UNSAMPLED = TraceContext(CALLER.trace_id, CALLER.span_id, sampled=False)


def ids(recorded: ReadableSpan) -> tuple[str, str, str | None]:
    assert recorded.context is not None
    parent = None if recorded.parent is None else f"{recorded.parent.span_id:016x}"
    return f"{recorded.context.trace_id:032x}", f"{recorded.context.span_id:016x}", parent


def test_while_nothing_is_traced_every_span_is_the_same_and_does_nothing() -> None:
    with entry_span("request", "server") as outer, span("within") as inner:
        inner.set({"a": 1})
        assert (UNTRACED, UNTRACED, None, {}) == (outer, inner, current(), trace_headers())


def test_while_nothing_is_traced_a_callers_trace_is_handed_on() -> None:
    with entry_span("request", "server", parent=CALLER), span("within"):
        assert {"traceparent": CALLER.traceparent} == trace_headers()
        assert not is_recording()
    assert {} == trace_headers()


async def test_spans_are_within_the_one_in_whose_block_they_begin_also_in_tasks() -> None:
    async def work(name: str) -> None:
        with span(name):
            await asyncio.sleep(0)

    with recorded_spans() as recorded:
        with entry_span("request", "server", parent=CALLER, shared={"who": "we"}):
            await asyncio.gather(work("one"), work("other"))
        assert current() is None

    trace_id, request_id, parent = ids(recorded.one("request"))
    assert (CALLER.trace_id, CALLER.span_id) == (trace_id, parent)
    for name in ("one", "other"):
        assert (trace_id, request_id) == (ids(recorded.one(name))[0], ids(recorded.one(name))[2])
        assert {"who": "we"} == dict(recorded.one(name).attributes or {})


def test_what_is_not_sampled_hands_its_trace_on_and_makes_no_spans() -> None:
    outer = partial(entry_span, "request", "server", parent=UNSAMPLED)
    with recorded_spans(content=True) as recorded, outer(), span("within") as inner:
        here = current()
        assert (UNTRACED, False, False) == (inner, is_recording(), records_content())
        assert UNSAMPLED == here
    assert [] == recorded.all()


def test_nothing_is_recorded_outside_of_a_trace() -> None:
    with recorded_spans() as recorded, span("embeddings at the start of a process"):
        assert not is_recording()
    assert [] == recorded.all()


def test_an_error_is_told_by_its_code_and_never_by_its_message() -> None:
    with recorded_spans() as recorded:
        with pytest.raises(NotFound), entry_span("ours", "server"):
            raise NotFound("what somebody said")
        with pytest.raises(ValueError, match="said"), entry_span("another's", "server"):
            raise ValueError("what somebody said")
        with pytest.raises(asyncio.CancelledError), entry_span("stopped", "server"):
            raise asyncio.CancelledError
    errors = {one.name: (one.attributes or {}).get("error.type") for one in recorded.all()}
    assert {"ours": NotFound.code, "another's": "ValueError", "stopped": "cancelled"} == errors
    assert [False, False, True] == [one.status.is_ok or one.status.is_unset for one in recorded.all()]
    assert "somebody" not in "".join(one.to_json() for one in recorded.all())


async def test_a_generator_that_is_closed_elsewhere_leaves_the_current_span_as_it_was() -> None:
    async def stream():
        with span("call"):
            yield current()

    with recorded_spans() as recorded, entry_span("request", "server") as request:
        deltas = stream()
        inner = await anext(deltas)
        assert inner is not None
        await asyncio.create_task(deltas.aclose())
        assert {"call"} == set(recorded.names())
        assert inner.trace_id == request.context.trace_id if request.context else None


async def test_what_a_lost_attempt_had_begun_is_recorded_by_the_next_in_its_place() -> None:
    job_id, began = uuid4(), datetime.now(UTC) - timedelta(seconds=5)
    first, second = (attempt_context(job_id, number, CALLER) for number in (1, 2))
    lost = LostAttempt(first, began, datetime.now(UTC), {"who": "we"})
    with recorded_spans() as recorded, entry_span("attempt 2", "consumer", parent=CALLER, own=second) as attempt:
        record_lost_attempt(lost, "attempt 1", {}, parent=CALLER, follower=attempt)
        for step, name in enumerate(("use_tools", "think", "use_tools"), 3):
            with span(name, key=f"{name} {step}") as node:
                note_step(node, step)
                if name == "use_tools":  # a call that had not ended; in the last step one that had not begun
                    record_lost_node(f"lost {name}", {})
                    record_lost_call("lost call", {}, key="call_1")
        forget_lost_attempt()
    lost_node = child_span_id(first.span_id, "use_tools 3")
    assert (CALLER.trace_id, first.span_id, CALLER.span_id) == ids(recorded.one("attempt 1"))
    assert (CALLER.trace_id, lost_node, first.span_id) == ids(recorded.one("lost use_tools"))
    assert (CALLER.trace_id, child_span_id(lost_node, "call_1"), lost_node) == ids(recorded.one("lost call"))
    assert "we" == (recorded.one("lost call").attributes or {})["who"]
    assert 7 == len({ids(one)[1] for one in recorded.all()}) == len(recorded.all())
    assert int(began.timestamp() * 1e6) == (recorded.one("attempt 1").start_time or 0) // 1000


@pytest.mark.parametrize(
    ("sampler", "argument", "recorded_of_callers", "recorded_of_own"),
    [
        ("parentbased_always_on", "", (True, False), True),
        ("parentbased_traceidratio", "0", (True, False), False),
        ("traceidratio", "1", (True, True), True),
        ("always_off", "", (False, False), False),
    ],
)
def test_what_is_recorded_is_as_the_sampler_says(
    sampler: str,
    argument: str,
    recorded_of_callers: tuple[bool, bool],
    recorded_of_own: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", argument)
    found: list[bool] = []
    with recorded_spans():
        for parent in (CALLER, UNSAMPLED, None):
            with entry_span("request", "server", parent=parent), span("within") as inner:
                found.append(inner.recording)
                here = current()
                assert here is not None
                assert inner.recording == here.sampled
    assert [*recorded_of_callers, recorded_of_own] == found
