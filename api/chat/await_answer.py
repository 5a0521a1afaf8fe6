"""Waits for the answer of a job. Everything in it comes from the job's events, so nothing is read from the database."""

import asyncio
from contextlib import suppress

from api.http.errors import JobEnded
from api.http.shutdown import REPEATED, ServerStopping, Shutdown
from schema.events import (
    Event,
    JobCancelled,
    JobFailed,
    JobStarted,
    JobSucceeded,
    MessageCompleted,
    UsageRecorded,
    decode_event,
    read_frames,
)
from schema.states import PublicState
from workers.stream.follow import Follower

ANSWER_EVENTS = frozenset(
    event.type for event in (JobStarted, MessageCompleted, UsageRecorded, JobSucceeded, JobFailed, JobCancelled)
)


class Answer:
    """The answer so far; complete when `message` and `usage` are set and `state` is `succeeded`."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        self.state: PublicState = "queued"
        self.message: MessageCompleted | None = None
        self.usage: UsageRecorded | None = None

    def add(self, event: Event) -> None:
        """Apply an event. Raises JobEnded if the job failed or was cancelled."""
        match event:
            case JobStarted():
                self.state = "running"
            case MessageCompleted():
                self.message = event
            case UsageRecorded():
                self.usage = event
            case JobSucceeded():
                self.state = "succeeded"
            case JobFailed():
                raise JobEnded.by(event.error, self.job_id)
            case JobCancelled():
                raise JobEnded("cancelled", "The job was cancelled before it finished.", self.job_id)


async def wait_for_answer(follower: Follower, timeout_s: float, shutdown: Shutdown) -> Answer:
    """Return the answer, incomplete if it took longer than `timeout_s` or this process is about to end. Raises JobEnded if the
    job failed or was cancelled."""
    answer = Answer(str(follower.job_id))
    stopping = ServerStopping(f"/api/jobs/{answer.job_id}", answer.job_id, REPEATED)
    with shutdown.tells(lambda: follower.interrupt(stopping)), suppress(TimeoutError, ServerStopping):
        async with asyncio.timeout(timeout_s), follower:
            async for chunk in follower.chunks(heartbeat_s=None):
                for frame in read_frames(chunk):
                    if frame.type in ANSWER_EVENTS:
                        answer.add(decode_event(frame))
    return answer
