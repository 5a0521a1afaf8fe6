"""A single attempt at a job: claim, run, publish, finish.

      doorbell ──claim──► running ──► work completed ──► succeeded
                             │──► work failed ─────────► queued again (with backoff) or failed
                             │──► cancelled, deadline ─► cancelled, failed
                             │──► worker stops ────────► queued again, without using up a try
                             └──► fenced ──────────────► nothing: a newer attempt has the job (else queued again)

How each of these is committed and published is in `workers/queue/finish/attempt.py`.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Literal, Protocol
from uuid import UUID

import structlog

from graphs.fair_loop import share_loop
from graphs.providers.settings import AUTO, CHAT_AGENT
from graphs.providers.tokens import estimate_tokens
from graphs.runner import estimate_prompt
from schema.errors import DeadlinePassed, Unavailable
from schema.events import (
    AgentRouted,
    ChoiceDelta,
    Event,
    JobRestarted,
    JobStarted,
    MessageCompleted,
    MessageDelta,
    ReasoningDelta,
    ToolStarted,
    UsageRecorded,
    read_frames,
)
from schema.identity.tenancy import TenantSnapshot
from schema.metrics.catalog import JOB_WAIT, JOBS_RUNNING
from schema.postgres.outages import waiting_for_postgres
from schema.queries.jobs.attempts import ClaimedJob, claim_job
from schema.queries.sessions.sessions import StoredMessage
from schema.states import CancelMode
from workers.limits.reservation import Reservation
from workers.queue.attempt_span import attempt_span
from workers.queue.attempt_times import AttemptTimes
from workers.queue.context import QueueContext
from workers.queue.finish.attempt import AttemptFinisher, give_up_refused
from workers.queue.finish.metrics import count_fenced
from workers.queue.outcome import IGNORED, Outcome
from workers.queue.suspects import probation
from workers.stream.relay import History, JobStream, new_history, new_holder, queued_event

log = structlog.get_logger()

HOLD_S = 1.0
"""How long a job that ends before its first event was written waits for Redis to confirm that the stream is its own."""
ANSWER = (MessageDelta, ChoiceDelta, ReasoningDelta, ToolStarted)
"""Events that show a client that its answer is being made."""
HISTORY_MESSAGES = 24  # read with a claim; graphs trim further

StopReason = Literal["cancel", "hand_back", "fenced", "limit"]


class Work(Protocol):
    """What a kind of job does. It emits events, the last of which are the whole message and its usage."""

    async def __call__(self, job: ClaimedJob, messages: Sequence[StoredMessage], emit: Callable[[Event], None]) -> None:
        """Do the work of a claimed job. Cancelling stops it, and every request that it has made."""
        ...


class AttemptError(Exception):
    """An attempt crashed. Celery and Flower are told the type of the error, and nothing else."""


async def attempt_job(context: QueueContext, work: Work, tenant_id: UUID, job_id: UUID, dispatch_seq: int) -> Outcome:
    """Answer a doorbell: claim the job, run it and finish it; return how that ended. A stale doorbell does nothing.

    Raises AttemptError; the job is then attempted again when the lease has expired.
    """
    context.running.on_message()
    share_loop(context.fair_loop, tenant_id)
    try:
        return await _claim_and_run(context, work, tenant_id, job_id, dispatch_seq)
    except Exception as error:
        log.error("attempt_crashed", tenant_id=str(tenant_id), job_id=str(job_id), exc_info=error)
        raise AttemptError(type(error).__name__) from None


async def _claim_and_run(
    context: QueueContext, work: Work, tenant_id: UUID, job_id: UUID, dispatch_seq: int
) -> Outcome:
    if context.running.holds(job_id, dispatch_seq):
        log.debug("doorbell_ignored", job_id=str(job_id), dispatch_seq=dispatch_seq)
        return IGNORED
    try:
        async with context.fair_loop.beginning(tenant_id):
            claimed = await claim_job(
                context.pool,
                tenant_id,
                job_id,
                dispatch_seq,
                worker=context.owner,
                lease_s=context.lease_s,
                history=HISTORY_MESSAGES,
            )
    except Unavailable:
        log.warning("claim_postponed", job_id=str(job_id))
        return IGNORED
    if claimed is None:
        log.debug("doorbell_ignored", job_id=str(job_id), dispatch_seq=dispatch_seq)
        return IGNORED
    job, messages = claimed
    attempt = Attempt(context, job, messages)
    context.running.register(attempt)
    running = JOBS_RUNNING.of(context.name)
    running.inc()
    if job.is_first:
        JOB_WAIT.of(job.kind).observe(job.waited_s)
    try:
        async with attempt_span(context.pool, job), probation(context.pool, context.dispatcher, job):
            return await attempt.run(work)
    finally:
        context.running.unregister(attempt)
        running.dec()


class Attempt:
    """A claimed job while it runs here. `stop()` may be called on the event loop at any time."""

    def __init__(self, context: QueueContext, job: ClaimedJob, messages: Sequence[StoredMessage]) -> None:
        self.job, self.tenant_id, self.job_id = job, job.tenant_id, job.id
        self.number: int = job.attempt
        self._holder = new_holder()
        self._context, self._messages = context, messages
        self._reservation: Reservation | None = None
        self._deltas: list[str] = []
        self._completed: MessageCompleted | None = None
        self._usage: UsageRecorded | None = None
        self._routed: str | None = None
        self._stop_reason: StopReason | None = None
        self._cancel_mode: CancelMode = "keep"
        self._task: asyncio.Task[None] | None = None
        self._times = AttemptTimes(job.kind, asyncio.get_running_loop().time)
        self._finishing = False
        self._log = log.bind(tenant_id=str(self.tenant_id), job_id=str(self.job_id), attempt=self.number)

    def stop(self, reason: StopReason, mode: CancelMode = "keep") -> None:
        """Stop the work, which closes the provider's connection, and end the attempt as `reason` says. The first call
        counts, but "fenced" overrides any other reason: nothing may be written after that."""
        if self._stop_reason is not None and reason != "fenced":
            return
        self._stop_reason, self._cancel_mode = reason, mode
        if self._task is not None and not self._finishing:
            self._task.cancel()

    async def run(self, work: Work) -> Outcome:
        """Run the work to its end and finish the job."""
        history = await self._take_over()
        if history is None:
            await give_up_refused(self._context, self.job, self._log)
            return IGNORED
        self._stream = self._open_stream(history)
        # The work starts before the first event is published, because a request to a model takes longer.
        with waiting_for_postgres():
            self._catalog = await self._context.catalogs.at(self.job.models_version)
            self._task = asyncio.get_running_loop().create_task(work(self.job, self._messages, self._emit))
        self._publish_start(history)
        if self.job.tenant is not None:
            self._reservation = self._open_reservation(self.job.tenant)
        error = await self._wait(self._task)
        self._finishing = True
        if self._reservation is not None:
            self._reservation.close()
        return await self._finish(error)

    async def _take_over(self) -> History | None:
        """Return what the stream holds already; None if somebody else has it."""
        if self.number == 1:
            return self._first_history(origin=1)
        history = await self._context.relay.take_over(
            self.tenant_id, self.job_id, self.number, holder=self._holder, created_at=self.job.created_at
        )
        if history is not None and not history.frames:
            is_new = self.job.is_first and history.untouched
            return self._first_history(origin=1 if is_new else self.number)
        return history

    def _first_history(self, *, origin: int) -> History:
        return new_history(self.job_id, self.job.created_at, queued_event(self.job), origin=origin)

    def _open_stream(self, history: History) -> JobStream:
        return JobStream(
            self._context.relay,
            self.tenant_id,
            self.job_id,
            attempt=self.number,
            holder=self._holder,
            inbox=self.job.inbox,
            history=history,
            on_fenced=lambda: self.stop("fenced"),
        )

    def _open_reservation(self, tenant: TenantSnapshot) -> Reservation:
        return Reservation(
            self._context.limits,
            self.job,
            tenant,
            price=self._catalog.price(self.job.model),
            input_tokens=self._prompt_tokens(at_most=True),
            on_exhausted=lambda: self.stop("limit"),
        )

    def _publish_start(self, history: History) -> None:
        """Say that the job starts; or that it starts over, if an earlier attempt wrote, or may have written what is lost."""
        worker = self._context.node
        if history.untouched:
            self._stream.put(JobStarted(attempt=self.number, worker=worker))
            return
        # A job that lost its worker is a suspect, or its claim is forgotten; who asks for a job again takes its error away.
        is_lost = self.job.suspect or self.job.is_first
        reason = (self.job.error or {}).get("code") or ("worker_lost" if is_lost else "retried")
        kept = _events_before_output(history.frames)
        self._stream.put(JobRestarted(attempt=self.number, reason=reason, discard_after=kept, worker=worker))

    async def _wait(self, task: asyncio.Task[None]) -> Exception | None:
        """Let the work run up to the deadline; return the error that ended it, if one did."""
        if self._stop_reason is not None:
            task.cancel()
        try:
            done, _ = await asyncio.wait({task}, timeout=max(self.job.left_s, 0.0))
        except asyncio.CancelledError:
            self.stop("hand_back")
            done = set[asyncio.Task[None]]()
        if not done:
            task.cancel()
            await asyncio.wait({task})
            if self._stop_reason is None:
                return DeadlinePassed("The job did not end before its deadline.")
        if task.cancelled():
            return None
        error = task.exception()
        return error if isinstance(error, Exception) else None

    def _emit(self, event: Event) -> None:
        """Publish an event of the work. The last ones, message and usage, are published when the job is finished."""
        match event:
            case MessageCompleted():
                self._completed = event
                self._times.completed(parts=len(self._deltas))
            case UsageRecorded():
                self._usage = event
            case _:
                if not self._times.is_heard and isinstance(event, ANSWER):
                    self._times.heard()
                if isinstance(event, ChoiceDelta) and self._reservation is not None:
                    self._reservation.count(len(event.delta.get("content") or ""))
                if isinstance(event, ReasoningDelta) and self._reservation is not None:
                    self._reservation.count(len(event.text))
                if isinstance(event, MessageDelta):
                    self._deltas.append(event.text)
                    if self._reservation is not None:
                        self._reservation.count(len(event.text))
                elif isinstance(event, AgentRouted):
                    self._routed = event.agent
                self._stream.put(event)

    async def _finish(self, error: Exception | None) -> Outcome:
        if self.number == 1 and not self._stream.held:  # others have asked before they began
            await self._stream.flush(HOLD_S)
        reason, completed = self._stop_reason, self._completed
        finish = AttemptFinisher(
            self._context,
            self.job,
            self._stream,
            self._log,
            catalog=self._catalog,
            is_fenced=lambda: self._stop_reason == "fenced",
            times=self._times,
        )
        if reason == "fenced" and self._stream.fenced:
            await give_up_refused(self._context, self.job, self._log)
        elif reason == "fenced":
            count_fenced(self.job)
            self._log.info("attempt_fenced")
        elif reason == "cancel" and completed is None:
            usage = self._estimate_usage() if self._deltas else None
            await finish.cancelled("".join(self._deltas), usage, mode=self._cancel_mode, agent=self._routed)
        elif completed is not None and error is None:
            await finish.succeeded(completed, self._usage, agent=self._answered(completed))
        elif reason == "limit":
            cut_off = MessageCompleted(text="".join(self._deltas), finish_reason="length")
            await finish.succeeded(cut_off, self._estimate_usage(), agent=self._answered(cut_off))
        elif reason == "hand_back":
            await finish.handed_back()
        else:
            await finish.failed(error or RuntimeError("the work ended without an answer"), agent=self._routed)
        return finish.outcome

    def _answered(self, completed: MessageCompleted) -> str | None:
        """Return who answered: of jobs that let headrace choose, the one that it chose."""
        return completed.agent or self._routed or (CHAT_AGENT if self.job.agent == AUTO else None)

    def _prompt_tokens(self, *, at_most: bool = False) -> int:
        known = self._catalog.find(self.job.model)
        window = known.context_tokens if known is not None else None
        return estimate_prompt(self.job.payload, self._messages, window=window, at_most=at_most)

    def _estimate_usage(self) -> UsageRecorded:
        """Estimate the usage of an answer that was cut off, because providers report it only at the end."""
        output_tokens = estimate_tokens(sum(map(len, self._deltas)))
        usage = UsageRecorded(
            model=self.job.model, input_tokens=self._prompt_tokens(), output_tokens=output_tokens, estimated=True
        )
        return usage.with_own_key() if self.job.credential else usage


def _events_before_output(frames: Sequence[bytes]) -> int:
    """Return the number of the last event before the output of the first attempt; clients discard what follows."""
    for frame in read_frames(b"".join(frames)):
        if frame.type in ("job.started", "job.restarted"):
            return frame.seq
    return len(frames)
