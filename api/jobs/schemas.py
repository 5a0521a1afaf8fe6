"""What a job looks like from outside."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from api.http.paging import NextCursor
from api.http.rows import from_row
from graphs.providers.settings import AUTO, CHAT_AGENT
from schema.queries.jobs.jobs import Job
from schema.states import CancelMode, Priority, PublicState, WaitingFor, priority_name, public_state

ERROR = "Why it failed: `code` and `message`, and `agent` if one was chosen; null if it did not."


class AttemptOut(msgspec.Struct, frozen=True, kw_only=True):
    """A single attempt at a job by one worker."""

    attempt: Annotated[
        int, Meta(description="Number of the attempt; a later one has a higher number, and there may be gaps.")
    ]
    worker: Annotated[str, Meta(description="Name of the worker.")]
    started_at: Annotated[datetime, Meta(description="When the worker claimed the job.")]
    ended_at: Annotated[datetime | None, Meta(description="When the attempt ended; null while it runs.")]
    outcome: Annotated[
        str | None,
        Meta(
            description="How it ended: `succeeded`, `failed`, `cancelled`, `lost` or `handed_back`; null while it runs."
        ),
    ]
    error: Annotated[dict[str, Any] | None, Meta(description=ERROR)]


class JobOut(msgspec.Struct, frozen=True, kw_only=True):
    """A unit of work in the queue: a chat, a pipeline run, the ingestion of documents, a benchmark, or a batch."""

    id: Annotated[UUID, Meta(description="Id of the job.")]
    kind: Annotated[
        str, Meta(description="Kind of job, such as `chat`, `pipeline`, `ingestion`, `benchmark` or `batch`.")
    ]
    state: Annotated[PublicState, Meta(description="State of the job.")]
    waiting_for: Annotated[
        WaitingFor | None,
        Meta(
            description="Why a queued job has not started: no free `worker`, the `tenant_cap` on concurrent jobs, an earlier "
            "job of its `session`, the delay before a `retry`, its `run_at` (`time`), or a suspended `tenant`. Null if it is "
            "not queued."
        ),
    ]
    session_id: Annotated[UUID | None, Meta(description="The session; null if the job has none.")]
    model: Annotated[str | None, Meta(description="The model, as `provider/name`; the embedder for ingestion.")]
    agent: Annotated[
        str | None, Meta(description="The agent, `auto` until one that it selected has answered; null for none.")
    ]
    priority: Annotated[Priority, Meta(description="Order among the waiting jobs of the tenant.")]
    attempt: Annotated[int, Meta(description="Number of the last attempt, 0 before the first; numbers may have gaps.")]
    tries: Annotated[int, Meta(description="Attempts that failed or lost their worker.")]
    max_tries: Annotated[int, Meta(description="Number of tries after which the job fails.")]
    cancel_requested: Annotated[
        CancelMode | None, Meta(description="The mode of a cancellation that was requested; null if none was.")
    ]
    result: Annotated[dict[str, Any] | None, Meta(description="What a succeeded job produced; depends on `kind`.")]
    error: Annotated[dict[str, Any] | None, Meta(description=ERROR)]
    metadata: Annotated[dict[str, str] | None, Meta(description="The `metadata` of the request; null if it had none.")]
    request_id: Annotated[str | None, Meta(description="`X-Request-ID` of the request that created the job.")]
    created_at: Annotated[datetime, Meta(description="When the job was created.")]
    run_at: Annotated[datetime, Meta(description="Earliest time at which the job may run, or run again.")]
    deadline_at: Annotated[datetime, Meta(description="When the job fails with `deadline_passed` if it has not ended.")]
    started_at: Annotated[datetime | None, Meta(description="When the job first ran; null if it has not.")]
    finished_at: Annotated[datetime | None, Meta(description="When the job ended; null if it has not.")]


class JobDetailOut(JobOut, frozen=True, kw_only=True):
    """A job with its attempts."""

    attempts: Annotated[list[AttemptOut], Meta(description="The attempts, oldest first.")]


class JobsOut(msgspec.Struct, frozen=True):
    """A page of jobs, newest first."""

    items: Annotated[list[JobOut], Meta(description="The jobs of this page.")]
    next_cursor: NextCursor


class JobCountOut(msgspec.Struct, frozen=True):
    """How many jobs there are."""

    count: Annotated[int, Meta(description="Number of jobs, at most 10,000.")]
    more: Annotated[bool, Meta(description="Whether there may be others.")]


class CancelIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to cancel a job."""

    mode: Annotated[
        CancelMode,
        Meta(description="`keep` stores the partial answer; `forget` removes it and the question from the session."),
    ] = "keep"


class JobStateOut(msgspec.Struct, frozen=True):
    """The state of a job after a request to change it."""

    job_id: Annotated[UUID, Meta(description="Id of the job.")]
    state: Annotated[PublicState, Meta(description="State of the job now.")]


JOB_EXAMPLE: dict[str, Any] = {
    "id": "019a5c9e-6f0a-7c11-9f53-0c9d2f6f6b1e",
    "kind": "chat",
    "state": "succeeded",
    "waiting_for": None,
    "session_id": "019a5c9e-6f0a-7c11-9f53-0c9d2f6f6b1f",
    "model": "ollama/llama3.2:3b",
    "agent": None,
    "priority": "normal",
    "attempt": 1,
    "tries": 0,
    "max_tries": 4,
    "cancel_requested": None,
    "result": {
        "text": "A headrace is the channel that leads water to a mill wheel or a turbine.",
        "finish_reason": "stop",
        "model": "ollama/llama3.2:3b",
        "usage": {"input_tokens": 14, "output_tokens": 18, "estimated": False, "cost_usd": 0.0},
        "message_id": "019a5c9e-7d20-7e02-8a41-5b1f0c3d9e77",
    },
    "error": None,
    "metadata": None,
    "request_id": "019a5c9e6f0a7c119f530c9d2f6f6b1d",
    "created_at": "2026-05-04T08:15:30Z",
    "run_at": "2026-05-04T08:15:30Z",
    "deadline_at": "2026-05-04T09:15:30Z",
    "started_at": "2026-05-04T08:15:30.012Z",
    "finished_at": "2026-05-04T08:15:32.480Z",
}
DETAIL_EXAMPLE = JOB_EXAMPLE | {
    "attempts": [
        {
            "attempt": 1,
            "worker": "chat-1",
            "started_at": JOB_EXAMPLE["started_at"],
            "ended_at": JOB_EXAMPLE["finished_at"],
            "outcome": "succeeded",
            "error": None,
        }
    ]
}


def job_out(job: Job) -> JobOut:
    """Return a job as lists show it."""
    return from_row(JobOut, job, **shown_fields(job))


def shown_fields(job: Job) -> dict[str, Any]:
    """Return what is shown otherwise than it is stored. The row keeps `auto`, so that a retry selects again."""
    answered = None
    if job.agent == AUTO:
        answered = (job.result or {}).get("agent") or (job.error or {}).get("agent")
        answered = answered or (CHAT_AGENT if job.state == "succeeded" else None)
    return {
        "state": public_state(job.state),
        "priority": priority_name(job.priority),
        "agent": answered or job.agent,
    }
