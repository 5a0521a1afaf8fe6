"""One try of one job by this worker: claim, run, publish, and every way in which it can end.

      doorbell ──claim──► running ──► said everything ──► succeeded
                             │──► the vendor failed ────► queued again (backoff) or failed
                             │──► cancelled, deadline ──► cancelled, failed
                             │──► the worker stops ─────► queued again, no try spent
                             └──► fenced ───────────────► nothing: a newer attempt has the job

The row is committed before the last event goes out; whoever reads `job.succeeded` can rely on it.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol
from uuid import UUID

import msgspec
import structlog

from graphs.providers.tokens import estimate_tokens
from graphs.runner import estimate_prompt
from schema.db import tenant_tx
from schema.errors import DeadlinePassed, Unavailable
from schema.events import (
    Event,
    JobCancelled,
    JobFailed,
    JobRestarted,
    JobStarted,
    JobSucceeded,
    MessageCompleted,
    MessageDelta,
    UsageRecorded,
    read_frames,
)
from schema.ids import new_id
from schema.job_kinds import KINDS
from schema.notices import notice_of
from schema.queries.jobs.attempts import ClaimedJob, Ending, claim_job, requeue_job
from schema.queries.jobs.jobs import compact
from schema.queries.sessions.sessions import StoredMessage
from schema.states import CancelMode
from workers.limits.reservation import Reservation
from workers.queue.context import QueueContext
from workers.queue.errors import is_retryable, reason_of, retry_delay_s
from workers.queue.finish import finish_stream
from workers.queue.finish_retry import finish_with_retries
from workers.queue.results import detail_of, parts_of, result_of, usage_of
from workers.stream.relay import History, JobStream, new_history, queued_event

log = structlog.get_logger()

HISTORY = 24  # messages read with a claim; the graph trims further
FLUSH_S = 5.0

Stop = Literal["cancel", "hand_back", "fenced", "limit"]


class Work(Protocol):
    """What a kind of job does: it emits events, the last ones being the whole message and what it used."""

    async def __call__(self, job: ClaimedJob, messages: Sequence[StoredMessage], emit: Callable[[Event], None]) -> None:
        """Do the work of a claimed job. Cancelling stops it and whatever it asked others for."""
        ...


class AttemptError(Exception):
    """An attempt ended by an error of our own; all of it that Celery and Flower are told is its kind."""


async def attempt_job(context: QueueContext, work: Work, tenant_id: UUID, job_id: UUID, dispatch_seq: int) -> None:
    """Answer a doorbell. Returns when the attempt has ended in whichever way; a stale doorbell does nothing.

    Raises AttemptError; then the lease runs out and the job is done again.
    """
    context.running.on_message()
    try:
        await _attempt(context, work, tenant_id, job_id, dispatch_seq)
    except Exception as error:
        log.error("attempt_broke", tenant_id=str(tenant_id), job_id=str(job_id), exc_info=error)
        raise AttemptError(type(error).__name__) from None


async def _attempt(context: QueueContext, work: Work, tenant_id: UUID, job_id: UUID, dispatch_seq: int) -> None:
    try:
        claimed = await claim_job(
            context.pool,
            tenant_id,
            job_id,
            dispatch_seq,
            worker=context.owner,
            lease_s=context.lease_s,
            history=HISTORY,
        )
    except Unavailable:
        log.warning("claim_postponed", job_id=str(job_id))
        return
    if claimed is None:
        log.debug("doorbell_stale", job_id=str(job_id), dispatch_seq=dispatch_seq)
        return
    job, messages = claimed
    attempt = Attempt(context, job, messages)
    context.running.register(attempt)
    try:
        await attempt.run(work)
    finally:
        context.running.unregister(attempt)


class Attempt:
    """A claimed job while it runs here. `stop()` may be called from the loop at any time."""

    def __init__(self, context: QueueContext, job: ClaimedJob, messages: Sequence[StoredMessage]) -> None:
        self.job, self.tenant_id, self.job_id = job, job.tenant_id, job.id
        self.number: int = job.attempt
        self._context, self._messages = context, messages
        self._allowance: Reservation | None = None
        self._said: list[str] = []
        self._completed: MessageCompleted | None = None
        self._used: UsageRecorded | None = None
        self._why: Stop | None = None
        self._mode: CancelMode = "keep"
        self._task: asyncio.Task[None] | None = None
        self._settling = False
        self._log = log.bind(tenant_id=str(self.tenant_id), job_id=str(self.job_id), attempt=self.number)

    def stop(self, why: Stop, mode: CancelMode = "keep") -> None:
        """Stop the work: the provider's connection is closed, and the attempt ends as `why` says. The first call counts,
        except that being fenced overrules all: then nothing may be written any more."""
        if self._why is not None and why != "fenced":
            return
        self._why, self._mode = why, mode
        if self._task is not None and not self._settling:
            self._task.cancel()

    async def run(self, work: Work) -> None:
        """Run the work to its end and settle the job."""
        history = await self._history()
        if history is None:
            self._log.info("attempt_fenced")
            return
        self.stream = JobStream(
            self._context.relay,
            self.tenant_id,
            self.job_id,
            attempt=self.number,
            inbox=self.job.inbox,
            history=history,
            on_fenced=lambda: self.stop("fenced"),
        )
        # The work is begun first: its way to the model is longer than the first event's way to the client.
        self._task = asyncio.get_running_loop().create_task(work(self.job, self._messages, self._emit))
        self._announce(history)
        if self.job.tenant is not None:
            self._allowance = Reservation(
                self._context.limits,
                self.job,
                self.job.tenant,
                input_tokens=self._prompt(),
                on_exhausted=lambda: self.stop("limit"),
            )
        error = await self._perform(self._task)
        self._settling = True
        if self._allowance is not None:
            self._allowance.close()
        await self._settle(error)

    async def _history(self) -> History | None:
        if self.number == 1 and self.job.dispatch_seq == 1:
            return new_history(self.job_id, self.job.created_at, queued_event(self.job))
        history = await self._context.relay.take_over(self.tenant_id, self.job_id, self.number)
        if history is not None and not history.frames:
            origin = self.number if self.number > 1 else 1
            return new_history(self.job_id, self.job.created_at, queued_event(self.job), origin=origin)
        return history

    def _announce(self, history: History) -> None:
        worker = self._context.node
        if self.number == 1:
            self.stream.put(JobStarted(attempt=1, worker=worker))
            return
        reason = (self.job.error or {}).get("code") or "worker_lost"
        kept = _kept(history.frames)
        self.stream.put(JobRestarted(attempt=self.number, reason=reason, discard_after=kept, worker=worker))

    async def _perform(self, task: asyncio.Task[None]) -> Exception | None:
        """Let the work run up to the deadline; return the error that ended it, if one did."""
        if self._why is not None:
            task.cancel()
        try:
            done, _ = await asyncio.wait({task}, timeout=max(self.job.left_s, 0.0))
        except asyncio.CancelledError:
            self.stop("hand_back")
            done = set()
        if not done:
            task.cancel()
            await asyncio.wait({task})
            if self._why is None:
                return DeadlinePassed("The job did not end before its deadline.")
        if task.cancelled():
            return None
        error = task.exception()
        return error if isinstance(error, Exception) else None

    def _emit(self, event: Event) -> None:
        """Publish what the work says; the end of it waits for the commit."""
        match event:
            case MessageCompleted():
                self._completed = event
            case UsageRecorded():
                self._used = event
            case _:
                if isinstance(event, MessageDelta):
                    self._said.append(event.text)
                    if self._allowance is not None:
                        self._allowance.count(len(event.text))
                self.stream.put(event)

    async def _settle(self, error: Exception | None) -> None:
        if self._why == "fenced":
            self._log.info("attempt_fenced")
        elif self._why == "cancel" and self._completed is None:
            await self._cancelled()
        elif self._completed is not None and error is None:
            await self._succeed(self._completed)
        elif self._why == "limit":
            self._used = self._estimated()
            await self._succeed(MessageCompleted(text="".join(self._said), finish_reason="length"))
        elif self._why == "hand_back":
            await self._hand_back()
        else:
            await self._fail(error or RuntimeError("the work ended without an answer"))

    async def _succeed(self, said: MessageCompleted) -> None:
        stored = self.job.session_id is not None
        message_id = new_id() if stored else None
        said = msgspec.structs.replace(
            said,
            message_id=str(message_id) if message_id else None,
            notice=said.notice or notice_of(self._used.model if self._used else self.job.model),
        )
        result = result_of(said, self._used, self.job.model)
        last: list[Event] = [said, *([self._used] if self._used else []), JobSucceeded()]
        await self._end(
            last,
            "succeeded",
            result=result,
            message_id=message_id,
            parts=parts_of(said.text),
            usage=usage_of(self._used),
            agent=said.agent,
            detail=detail_of(said) or None,
        )

    async def _cancelled(self) -> None:
        text = "".join(self._said)
        kept = self._mode == "keep" and bool(text)
        await self._end(
            [JobCancelled(kept=self._mode)],
            "cancelled",
            result={"text": text} if kept else None,
            message_id=new_id() if kept else None,
            parts=parts_of(text) if kept else None,
            message_status="interrupted",
            usage=usage_of(self._estimated()) if self._said else None,
            forget=self._mode == "forget",
        )

    def _prompt(self) -> int:
        return estimate_prompt(self.job.payload, self._messages)

    def _estimated(self) -> UsageRecorded:
        """What was used, about, by an answer that its provider could not count because it was cut off."""
        said = estimate_tokens(sum(map(len, self._said)))
        return UsageRecorded(model=self.job.model, input_tokens=self._prompt(), output_tokens=said, estimated=True)

    async def _fail(self, error: Exception) -> None:
        reason = reason_of(error)
        if reason.code == "internal":
            self._log.error("attempt_failed", code=reason.code, exc_info=error)
        else:
            # The sentence may quote the vendor, and the vendor the prompt; it stands in the job's row.
            self._log.warning("attempt_failed", code=reason.code)
        told = msgspec.to_builtins(reason)
        if is_retryable(error) and self.job.tries < self.job.max_tries:
            await self._requeue(outcome="failed", error=told, delay_s=retry_delay_s(error, self.job.tries))
        else:
            await self._end([JobFailed(error=reason)], "failed", error=told)

    async def _hand_back(self) -> None:
        error = {"code": "worker_stopped", "message": "The worker was stopped and returned the job to the queue."}
        await self._requeue(outcome="handed_back", error=error, refund=True)

    async def _requeue(
        self, *, outcome: str, error: dict[str, Any], delay_s: float = 0.0, refund: bool = False
    ) -> None:
        try:
            async with tenant_tx(self._context.pool, self.tenant_id) as db:
                back = await requeue_job(
                    db,
                    self.tenant_id,
                    self.job_id,
                    self.number,
                    outcome=outcome,
                    delay_s=delay_s,
                    error=error,
                    refund=refund,
                )
        except Unavailable:
            self._log.warning("requeue_postponed")  # the lease runs out and the sweeper does it
            return
        await self.stream.flush(1.0)
        if back:
            self._log.info("job_requeued", outcome=outcome, delay_s=round(delay_s, 2))
            self._context.dispatcher.kick_later(self.job.queue, delay_s)

    async def _end(self, last: list[Event], state: Any, **facts: Any) -> None:
        """Commit the end, then publish it; if a newer attempt has the job, do neither."""
        frames = self.stream.preview(last)
        ending = Ending(state=state, last_seq=len(frames), frames=compact(frames), **facts)
        ended = await finish_with_retries(self._context.pool, self.job, ending, lost=lambda: self._why == "fenced")
        if ended is None:
            self._log.info("attempt_fenced")
            return
        self.stream.end(frames)
        self._log.info("job_ended", state=state, events=len(frames))
        if ended.more or ended.next_turn:
            self._context.dispatcher.kick(self.job.queue)
        await self.stream.flush(FLUSH_S)
        if "reserved" in self.job.payload:
            used = ending.usage or {"input_tokens": 0, "output_tokens": 0}
            tokens = used["input_tokens"] + used["output_tokens"] if KINDS[self.job.kind].metered else 0
            await finish_stream(
                self._context.limits, self.tenant_id, self.job_id, tokens=tokens, nanos=ended.cost_nanos
            )


def _kept(frames: Sequence[bytes]) -> int:
    """Return the number of the last event before the first attempt began to speak: all after it is void."""
    for frame in read_frames(b"".join(frames)):
        if frame.type in ("job.started", "job.restarted"):
            return frame.seq
    return len(frames)
