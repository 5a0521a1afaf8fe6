"""What an agent did in a job, step by step: its events put together, so that nobody has to (G3)."""

from typing import Any
from uuid import UUID

import msgspec
from litestar import Router, get
from litestar.params import FromPath

from api.errors import problems
from api.principals import MayReadJobs
from api.resources import Opened
from schema.db import Pool
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
from schema.queries.jobs import find_job_state, find_log
from schema.states import TERMINAL

NOT_YET = (
    "The job has not ended. Follow GET /api/jobs/{id}/events until it has; those events say the same while they happen."
)


class StepOut(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One step: `kind` is agent, plan, tool, text or note. A tool's step has its arguments, what it answered, whether that was
    an answer, and how long it took; `seq` is the event where the step began."""

    kind: str
    seq: int
    agent: str | None = None
    graph: str | None = None
    steps: list[str] | None = None
    tool: str | None = None
    call_id: str | None = None
    arguments: dict[str, Any] | None = None
    output: str | None = None
    ok: bool | None = None
    duration_ms: int | None = None
    text: str | None = None


class TraceOut(msgspec.Struct, frozen=True, kw_only=True):
    """What was done in a job, and how often a worker had to begin again or go on."""

    job_id: UUID
    state: str
    restarts: int
    steps: list[StepOut]
    text: str | None
    model: str | None
    input_tokens: int | None
    output_tokens: int | None


@get(
    "/{job_id:uuid}/trace",
    responses=problems("not_found", "conflict"),
    summary="What an agent did, step by step",
    tags=["jobs"],
)
async def trace(job_id: FromPath[UUID], principal: MayReadJobs, resources: Opened) -> TraceOut:
    """The steps of an ended job: who was chosen, the plan, each tool call with its arguments and answer, the words between."""
    pool: Pool = resources.ports.pool
    async with principal.tx(pool) as db:
        row = await find_job_state(db, principal.tenant_id, job_id)
        log = await find_log(db, principal.tenant_id, job_id) if row is not None else None
    if row is None:
        raise NotFound("There is no such job.")
    if row["state"] not in TERMINAL:
        raise Conflict(NOT_YET.format(id=job_id))
    found = Trace()
    for frame in read_frames(log or b""):
        found.take(frame.seq, decode_event(frame))
    return TraceOut(
        job_id=job_id,
        state=row["state"],
        restarts=found.restarts,
        steps=found.steps,
        text=found.text,
        model=found.used.model if found.used else None,
        input_tokens=found.used.input_tokens if found.used else None,
        output_tokens=found.used.output_tokens if found.used else None,
    )


class Trace:
    """The steps so far. A restart voids those that its attempt tells again."""

    def __init__(self) -> None:
        self.steps: list[StepOut] = []
        self.restarts = 0
        self.text: str | None = None
        self.used: UsageRecorded | None = None

    def take(self, seq: int, event: Event) -> None:
        """Learn from an event."""
        match event:
            case JobRestarted():
                self.restarts += 1
                self.steps = [step for step in self.steps if step.seq <= event.discard_after]
            case AgentRouted():
                self.steps.append(StepOut(kind="agent", seq=seq, agent=event.agent, graph=event.graph))
            case PlanCreated():
                self.steps.append(StepOut(kind="plan", seq=seq, steps=event.steps))
            case ToolStarted(call_id=call, name=name, arguments=given):
                self.steps.append(StepOut(kind="tool", seq=seq, tool=name, call_id=call, arguments=given))
            case ToolFinished():
                self._finish(event)
            case JobProgress():
                self.steps.append(StepOut(kind="note", seq=seq, text=event.text))
            case MessageDelta():
                self._say(seq, event.text)
            case MessageCompleted():
                self.text = event.text
            case UsageRecorded():
                self.used = event
            case _:
                pass

    def _finish(self, event: ToolFinished) -> None:
        for step in reversed(self.steps):
            if step.call_id == event.call_id:
                step.output, step.ok, step.duration_ms = event.output, event.ok, event.duration_ms
                return

    def _say(self, seq: int, text: str) -> None:
        if self.steps and self.steps[-1].kind == "text":
            self.steps[-1].text = (self.steps[-1].text or "") + text
        elif text:
            self.steps.append(StepOut(kind="text", seq=seq, text=text))


routes = Router("/jobs", route_handlers=[trace])
