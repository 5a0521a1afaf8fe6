"""Schedules on the wire."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from api.benchmarks.schemas import BenchmarkIn
from api.documents.upload.fields import AddressesIn
from api.http.paging import NextCursor
from api.webhooks.callbacks import CallbackEvents, CallbackInclude, CallbackUrl
from schema.states import OnMissed, OnOverlap, PublicState, RunOutcome, ScheduleSession, ScheduleState

MAX_SCHEDULES = 1000
NEXT_TIMES = 5

ON_MISSED = """What to do about due times that nobody was there for (no scheduler ran, or the tenant was suspended):
`skip` forgets them, `run_once` makes up for all of them with one job."""
ON_OVERLAP = """What to do if the job before has not ended: `skip` this time, `queue` waits for its end (ten times at most),
`cancel_previous` cancels it."""
SESSION = "`new` starts a session with each job, `continue` goes on with the one of the first job. For chats."

Name = Annotated[str, Meta(min_length=1, max_length=200, description="What the schedule is for.")]
Cron = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        description="When it is due: minute, hour, day of month, month, day of week. For example, `0 8 * * MON-FRI`.",
        examples=["0 8 * * MON-FRI"],
    ),
]
Zone = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=100,
        description="IANA name of the time zone that `cron` is in.",
        examples=["Asia/Ho_Chi_Minh"],
    ),
]
AgentName = Annotated[str, Meta(min_length=1, max_length=200)]


class ChatJobIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="chat"):
    """A message to an agent or a model, as in `POST /api/chat`."""

    message: Annotated[str, Meta(min_length=1, max_length=200_000, description="The message.")]
    agent: Annotated[AgentName | None, Meta(description="Agent to ask; `auto` selects one by the message.")] = None
    model: Annotated[AgentName | None, Meta(description="`provider/name`, `agent/NAME` or `auto`.")] = None
    collections: Annotated[
        Annotated[list[Annotated[str, Meta(min_length=1, max_length=100)]], Meta(min_length=1, max_length=20)] | None,
        Meta(description="Names or ids of document collections to answer from."),
    ] = None


class PipelineJobIn(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="pipeline"
):
    """A run of a pipeline, as in `POST /api/pipelines/{pipeline}/execute`. Of your own, the newest version runs."""

    pipeline: Annotated[str, Meta(min_length=1, max_length=200, description="Name or id of the pipeline.")]
    input: Annotated[str, Meta(min_length=1, max_length=200_000, description="The input.")]
    agent: Annotated[AgentName | None, Meta(description="Agent for a built-in pipeline that needs one.")] = None
    model: Annotated[AgentName | None, Meta(description="Model for steps that name none.")] = None


class IngestionJobIn(AddressesIn, frozen=True, tag_field="kind", tag="ingestion"):
    """Documents by address, as in `POST /api/documents`, fetched each time it is due. What hasn't changed since is neither
    stored nor embedded again."""


class BenchmarkJobIn(BenchmarkIn, frozen=True, tag_field="kind", tag="benchmark"):
    """A benchmark, as in `POST /api/benchmark/llm`."""


class ScheduleIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A job and when to submit it."""

    name: Name
    job: Annotated[
        ChatJobIn | PipelineJobIn | IngestionJobIn | BenchmarkJobIn,
        Meta(description="What to submit; `kind` says which.", extra={"max_bytes": 4 * 1024 * 1024}),
    ]
    cron: Cron
    timezone: Zone = "UTC"
    starts_at: Annotated[datetime | None, Meta(description="Not due before this time.")] = None
    ends_at: Annotated[datetime | None, Meta(description="Not due after this time.")] = None
    on_missed: Annotated[OnMissed, Meta(description=ON_MISSED)] = "skip"
    on_overlap: Annotated[OnOverlap, Meta(description=ON_OVERLAP)] = "skip"
    session: Annotated[ScheduleSession, Meta(description=SESSION)] = "new"
    callback_url: CallbackUrl | None = None
    callback_events: CallbackEvents | None = None
    callback_include: CallbackInclude | None = None
    paused: Annotated[bool, Meta(description="Whether to save it without starting it.")] = False


class ScheduleOut(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule."""

    id: Annotated[UUID, Meta(description="Id of the schedule.")]
    name: Annotated[str, Meta(description="What it is for.")]
    kind: Annotated[str, Meta(description="Kind of its jobs: `chat`, `pipeline`, `ingestion` or `benchmark`.")]
    job: Annotated[dict[str, Any], Meta(description="What it submits.")]
    cron: Annotated[str, Meta(description="When it is due.")]
    timezone: Annotated[str, Meta(description="Time zone of `cron`.")]
    starts_at: Annotated[datetime | None, Meta(description="Not due before this time.")]
    ends_at: Annotated[datetime | None, Meta(description="Not due after this time.")]
    on_missed: Annotated[OnMissed, Meta(description=ON_MISSED)]
    on_overlap: Annotated[OnOverlap, Meta(description=ON_OVERLAP)]
    session: Annotated[ScheduleSession, Meta(description=SESSION)]
    session_id: Annotated[UUID | None, Meta(description="The session that goes on; null before the first job.")]
    state: Annotated[
        ScheduleState, Meta(description="`active`, `paused`, or `ended`: no due time is left before `ends_at`.")
    ]
    reason: Annotated[
        dict[str, Any] | None,
        Meta(
            description="Why it was paused by itself: its owner lost a right, or the agent, pipeline or model is gone."
        ),
    ]
    next_at: Annotated[datetime | None, Meta(description="When it is due next; null unless it is active.")]
    created_by: Annotated[
        str, Meta(description="In whose name its jobs run: `user:ID` or `key:ID`, who saved it last.")
    ]
    created_at: Annotated[datetime, Meta(description="When it was created.")]
    updated_at: Annotated[datetime, Meta(description="When it was last changed.")]


class ScheduleDetailOut(ScheduleOut, frozen=True, kw_only=True):
    """A schedule with its next times."""

    next_times: Annotated[
        list[datetime], Meta(description=f"The next {NEXT_TIMES} due times, in UTC; none unless it is active.")
    ]


class SchedulesOut(msgspec.Struct, frozen=True):
    """A page of schedules, newest first."""

    items: Annotated[list[ScheduleOut], Meta(description="The schedules of this page.")]
    next_cursor: NextCursor


class ScheduleRunOut(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a due time."""

    due_at: Annotated[datetime, Meta(description="When it was due.")]
    outcome: Annotated[
        RunOutcome,
        Meta(
            description="`submitted`; `waiting` for the job before it; `skipped` because that had not ended; `missed`: nobody "
            "was there; `refused` for `reason`."
        ),
    ]
    job_id: Annotated[UUID | None, Meta(description="The job; null if none was submitted.")]
    job_state: Annotated[
        PublicState | None, Meta(description="State of the job; null if there is none, or it was deleted.")
    ]
    manual: Annotated[bool, Meta(description="Whether somebody asked for it with `run`.")]
    missed: Annotated[int, Meta(description="How many due times were missed, this one included; counted up to 1001.")]
    reason: Annotated[dict[str, Any] | None, Meta(description="Why no job was submitted: `code` and `message`.")]
    created_at: Annotated[datetime, Meta(description="When this was decided.")]


class ScheduleRunsOut(msgspec.Struct, frozen=True):
    """A page of due times, newest first."""

    items: Annotated[list[ScheduleRunOut], Meta(description="The due times of this page.")]
    next_cursor: NextCursor


class ScheduledJobOut(msgspec.Struct, frozen=True, kw_only=True):
    """A job that was submitted at once."""

    job_id: Annotated[UUID, Meta(description="Id of the job.")]
    job_url: Annotated[str, Meta(description="Path to poll for the job.")]
    events_url: Annotated[str, Meta(description="Path to stream the job's events from.")]


SCHEDULE_IN_EXAMPLE: dict[str, Any] = {
    "name": "Morning report",
    "job": {"kind": "chat", "agent": "AgentDebt", "message": "Which customers owe more than 100 million dong?"},
    "cron": "0 8 * * MON-FRI",
    "timezone": "Asia/Ho_Chi_Minh",
    "on_missed": "run_once",
}
SCHEDULE_EXAMPLE: dict[str, Any] = {
    "id": "019a5c9e-8888-7c11-9f53-0c9d2f6f6b1e",
    "kind": "chat",
    "starts_at": None,
    "ends_at": None,
    **{"on_overlap": "skip", "session": "new", "session_id": None, "state": "active", "reason": None},
    **SCHEDULE_IN_EXAMPLE,
    "next_at": "2026-05-05T01:00:00Z",
    "created_by": "user:019a5c9e-1111-7c11-9f53-0c9d2f6f6b1e",
    "created_at": "2026-05-04T08:15:30Z",
    "updated_at": "2026-05-04T08:15:30Z",
}
DETAIL_EXAMPLE: dict[str, Any] = SCHEDULE_EXAMPLE | {
    "next_times": [f"2026-05-{day:02}T01:00:00Z" for day in (5, 6, 7, 8, 11)]
}
RUN_EXAMPLE: dict[str, Any] = {
    "due_at": "2026-05-04T01:00:00Z",
    "outcome": "submitted",
    "job_id": "019a5c9e-6f0a-7c11-9f53-0c9d2f6f6b1e",
    **{"job_state": "succeeded", "manual": False, "missed": 0, "reason": None},
    "created_at": "2026-05-04T01:00:00Z",
}
SCHEDULED_JOB_EXAMPLE: dict[str, Any] = {
    "job_id": "019a5c9e-6f0a-7c11-9f53-0c9d2f6f6b1e",
    "job_url": "/api/jobs/019a5c9e-6f0a-7c11-9f53-0c9d2f6f6b1e",
    "events_url": "/api/jobs/019a5c9e-6f0a-7c11-9f53-0c9d2f6f6b1e/events",
}
