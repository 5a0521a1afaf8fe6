"""The trace of a job: what the agent did, step by step, built from the job's events."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Router, get
from litestar.params import PathParameter
from msgspec import Meta

from api.auth.principals import MayReadJobs
from api.http.errors import problems
from api.openapi.operations import described
from api.resources import AppResources
from schema.errors import Conflict, NotFound
from schema.events import (
    AgentRouted,
    Event,
    JobProgress,
    JobRestarted,
    MessageCompleted,
    MessageDelta,
    PlanCreated,
    ToolFinished,
    ToolStarted,
    UsageRecorded,
    decode_event,
    read_frames,
)
from schema.events.base import Notice, RoutingScore
from schema.postgres.connections import Pool
from schema.queries.jobs.jobs import find_job_status, find_log
from schema.states import TERMINAL

NO_TRACE = "The job has not ended. Its trace is available when it has; until then, GET /api/jobs/{id}/events streams the steps."


class StepOut(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A step of an agent. Fields that do not apply to its `kind` are omitted."""

    kind: Annotated[
        str,
        Meta(
            description="`agent`: an agent was selected; `plan`: it made a plan; `tool`: it called a tool; `text`: it wrote "
            "text; `note`: it reported progress."
        ),
    ]
    seq: Annotated[int, Meta(description="Number of the event with which the step began.")]
    agent: Annotated[str | None, Meta(description="`agent`: the agent that was selected.")] = None
    graph: Annotated[str | None, Meta(description="`agent`: the graph that it runs.")] = None
    reason: Annotated[str | None, Meta(description="`agent`: why it was selected.")] = None
    scores: Annotated[
        list[RoutingScore] | None,
        Meta(description="`agent`: how likely the router found each agent, the likeliest first."),
    ] = None
    steps: Annotated[list[str] | None, Meta(description="`plan`: the steps of the plan.")] = None
    tool: Annotated[str | None, Meta(description="`tool`: name of the tool.")] = None
    call_id: Annotated[str | None, Meta(description="`tool`: id of the call.")] = None
    arguments: Annotated[dict[str, Any] | None, Meta(description="`tool`: arguments of the call.")] = None
    output: Annotated[str | None, Meta(description="`tool`: what the tool returned, or its error.")] = None
    ok: Annotated[bool | None, Meta(description="`tool`: whether the call succeeded.")] = None
    duration_ms: Annotated[int | None, Meta(description="`tool`: duration of the call in milliseconds.")] = None
    text: Annotated[str | None, Meta(description="`text` and `note`: the text.")] = None


class TraceOut(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent did in a job."""

    job_id: Annotated[UUID, Meta(description="Id of the job.")]
    state: Annotated[str, Meta(description="State in which the job ended.")]
    restarts: Annotated[int, Meta(description="How often another worker took the job over or started it again.")]
    steps: Annotated[list[StepOut], Meta(description="The steps, in order.")]
    text: Annotated[str | None, Meta(description="The answer; null if there is none.")]
    model: Annotated[str | None, Meta(description="The model, as `provider/name`; null if none was used.")]
    input_tokens: Annotated[int | None, Meta(description="Tokens read by the model; null if unknown.")]
    output_tokens: Annotated[int | None, Meta(description="Tokens written by the model; null if unknown.")]
    notice: Annotated[
        Notice | None,
        Meta(description="What to know of the answer besides its text, if anything: a code, and what to do."),
    ] = None


TRACE_EXAMPLE: dict[str, Any] = {
    "job_id": "019a5c9e-6f0a-7c11-9f53-0c9d2f6f6b1e",
    "state": "succeeded",
    "restarts": 0,
    "steps": [
        {"kind": "agent", "seq": 3, "agent": "AgentInventory", "graph": "react"},
        {
            "kind": "tool",
            "seq": 4,
            "tool": "get_inventory",
            "call_id": "call_1",
            "arguments": {"sku": "CF-ROB-01"},
            "output": '[{"warehouse": "HN01", "quantity": 120}]',
            "ok": True,
            "duration_ms": 42,
        },
        {"kind": "text", "seq": 6, "text": "There are 120 in warehouse HN01."},
    ],
    "text": "There are 120 in warehouse HN01.",
    "model": "ollama/llama3.2:3b",
    "input_tokens": 512,
    "output_tokens": 41,
}


@get(
    "/{job_id:uuid}/trace",
    opt=described(response=TRACE_EXAMPLE),
    responses=problems("not_found", "conflict"),
    summary="Get a job's trace",
    tags=["jobs"],
)
async def get_job_trace(
    job_id: Annotated[UUID, PathParameter(description="Id of the job.")],
    principal: MayReadJobs,
    resources: AppResources,
) -> TraceOut:
    """Returns the steps of a job that has ended: the agent that was selected, its plan, each tool call with its arguments and
    output, and the text in between."""
    pool: Pool = resources.core.pool
    async with principal.tx(pool) as db:
        row = await find_job_status(db, principal.tenant_id, job_id)
        log = await find_log(db, principal.tenant_id, job_id) if row is not None else None
    if row is None:
        raise NotFound("No such job.")
    if row.state not in TERMINAL:
        raise Conflict(NO_TRACE.format(id=job_id))
    trace = Trace()
    for frame in read_frames(log or b""):
        trace.add(frame.seq, decode_event(frame))
    return TraceOut(
        job_id=job_id,
        state=row.state,
        restarts=trace.restarts,
        steps=trace.steps,
        text=trace.text,
        model=trace.usage.model if trace.usage else None,
        input_tokens=trace.usage.input_tokens if trace.usage else None,
        output_tokens=trace.usage.output_tokens if trace.usage else None,
        notice=trace.notice,
    )


def _routed(seq: int, event: AgentRouted) -> StepOut:
    return StepOut(
        kind="agent",
        seq=seq,
        agent=event.agent,
        graph=event.graph,
        reason=event.reason or None,
        scores=event.scores,
    )


class Trace:
    """The steps so far. A restart discards those that the new attempt repeats."""

    def __init__(self) -> None:
        self.steps: list[StepOut] = []
        self.restarts = 0
        self.text: str | None = None
        self.usage: UsageRecorded | None = None
        self.notice: Notice | None = None

    def add(self, seq: int, event: Event) -> None:
        """Apply an event."""
        match event:
            case JobRestarted():
                self.restarts += 1
                self.steps = [step for step in self.steps if step.seq <= event.discard_after]
            case AgentRouted():
                self.steps.append(_routed(seq, event))
            case PlanCreated():
                self.steps.append(StepOut(kind="plan", seq=seq, steps=event.steps))
            case ToolStarted(call_id=call, name=name, arguments=arguments):
                self.steps.append(StepOut(kind="tool", seq=seq, tool=name, call_id=call, arguments=arguments))
            case ToolFinished():
                self._finish_tool(event)
            case JobProgress():
                self.steps.append(StepOut(kind="note", seq=seq, text=event.text))
            case MessageDelta():
                self._add_text(seq, event.text)
            case MessageCompleted():
                self.text, self.notice = event.text, event.notice
            case UsageRecorded():
                self.usage = event
            case _:
                pass

    def _finish_tool(self, event: ToolFinished) -> None:
        for step in reversed(self.steps):
            if step.call_id == event.call_id:
                step.output, step.ok, step.duration_ms = event.output, event.ok, event.duration_ms
                return

    def _add_text(self, seq: int, text: str) -> None:
        if self.steps and self.steps[-1].kind == "text":
            self.steps[-1].text = (self.steps[-1].text or "") + text
        elif text:
            self.steps.append(StepOut(kind="text", seq=seq, text=text))


routes = Router("/jobs", route_handlers=[get_job_trace])
