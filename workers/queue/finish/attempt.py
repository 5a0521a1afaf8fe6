"""How an attempt ends: the job succeeds, is cancelled, fails or goes back to the queue.

The row is committed before the last events are published, so whoever reads `job.succeeded` can rely on it. If a newer
attempt has the job, nothing is committed and nothing published. Jobs that end without a running attempt are in
`waiting_job.py`.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import psycopg
import structlog

from schema.errors import ProviderError, Unavailable, WorkerLost
from schema.events import Event, JobCancelled, JobFailed, JobSucceeded, MessageCompleted, UsageRecorded
from schema.events.notices import AGENTS_OFF, notice_for_model
from schema.ids import new_id
from schema.job_kinds import INTERACTIVE, KINDS
from schema.model_catalog.catalog import Catalog
from schema.postgres.connections import tenant_tx
from schema.postgres.outages import PATIENCE_S, retry_while_down, waiting_for_postgres
from schema.queries.jobs.attempts import Charge, ClaimedJob, Ended, Ending, requeue_job
from schema.queries.jobs.jobs import compress_frames
from schema.states import CancelMode
from schema.storable import storable, storable_text
from workers.limits.reservation import settle_reservation
from workers.queue.attempt_span import note_ended, note_requeued
from workers.queue.attempt_times import AttemptTimes
from workers.queue.context import QueueContext
from workers.queue.errors import (
    interactive_delay_s,
    is_retryable,
    public_reason,
    retry_delay_s,
    spends_no_try,
)
from workers.queue.finish.metrics import count_ended, count_fenced, count_retry
from workers.queue.finish.results import (
    answer_parts,
    charge_models,
    job_result,
    message_detail,
    text_parts,
    usage_by_model,
    usage_fields,
    vendor_extra,
    with_cost,
)
from workers.queue.finish.retry import finish_with_retries
from workers.queue.outcome import IGNORED, Outcome
from workers.stream.relay import JobStream

FLUSH_S = 5.0
REQUEUE_FLUSH_S = 1.0
REFUSED_DELAY_S = 1.0  # so that a fence that no number passes makes no busy loop; the job's deadline ends it
LOST = WorkerLost("Another attempt holds the job's stream.")
UNSTORABLE = (psycopg.DataError, ValueError, OverflowError, TypeError, msgspec.MsgspecError)
"""What is raised where a result can't be written down, by psycopg, msgspec or Postgres: the same result never can."""


class AttemptFinisher:
    """Finishes one attempt; call one method, once. `is_fenced` tells whether a newer attempt has the job."""

    def __init__(
        self,
        context: QueueContext,
        job: ClaimedJob,
        stream: JobStream,
        log: structlog.stdlib.BoundLogger,
        *,
        catalog: Catalog,
        is_fenced: Callable[[], bool],
        times: AttemptTimes,
    ) -> None:
        """`catalog` has the prices of models."""
        self._catalog = catalog
        self._context, self._job, self._stream, self._log, self._is_fenced = context, job, stream, log, is_fenced
        self._times, self._ran_s = times, times.ran_s
        self.outcome = IGNORED
        """How the attempt ended, once it has."""

    async def succeeded(
        self, completed: MessageCompleted, usage: UsageRecorded | None, *, agent: str | None = None
    ) -> None:
        """Store the message and the result; `agent` is who answered."""
        job = self._job
        usage, used = self._charge(usage)
        message_id = new_id() if job.session_id is not None else None
        completed = msgspec.structs.replace(
            completed,
            text=storable_text(completed.text),
            data=storable(completed.data),
            refusal=storable_text(completed.refusal) if completed.refusal else None,
            message_id=str(message_id) if message_id else None,
            notice=completed.notice
            or notice_for_model(usage.model if usage else job.model)
            or (AGENTS_OFF if job.payload.get("agents_off") else None),
        )
        last: list[Event] = [completed, *([usage] if usage else []), JobSucceeded()]
        await self._end(
            last,
            "succeeded",
            result=job_result(completed, usage, job.model),
            message_id=message_id,
            parts=answer_parts(completed),
            usage=usage_fields(usage),
            used=used,
            agent=agent,
            detail={**message_detail(completed), **vendor_extra(completed)} or None,
            drop_messages=bool(job.payload.get("hidden")),
        )

    async def cancelled(
        self, text: str, usage: UsageRecorded | None, *, mode: CancelMode, agent: str | None = None
    ) -> None:
        """Cancel the job, which `agent` was chosen for. In mode "keep" the text so far is stored as an interrupted message."""
        usage, used = self._charge(usage)
        kept = mode == "keep" and bool(text)
        await self._end(
            [JobCancelled(kept=mode)],
            "cancelled",
            result={"text": text, "agent": agent} if kept else None,
            message_id=new_id() if kept else None,
            parts=text_parts(text) if kept else None,
            message_status="interrupted",
            agent=agent,
            usage=usage_fields(usage),
            used=used,
            forget=mode == "forget",
        )

    def _charge(self, usage: UsageRecorded | None) -> tuple[UsageRecorded | None, tuple[Charge, ...]]:
        """Return the usage with its cost, and what each model is charged."""
        if usage is None:
            return None, ()
        charges, unpriced = charge_models(usage_by_model(usage), self._catalog)
        for model in unpriced:
            self._context.catalogs.note_unpriced(model, self._job.tenant_id)
        return with_cost(usage, charges, unpriced), tuple(charges)

    async def failed(self, error: Exception, *, agent: str | None = None) -> None:
        """Requeue the job if a retry may succeed and tries are left, else fail it. An outage of ours spends none. `agent`
        is the one that was chosen for it."""
        reason = public_reason(error)
        if reason.code == "internal":
            self._log.error("attempt_failed", code=reason.code, exc_info=error)
        else:
            # The message may quote the provider, and the provider the prompt. It is in the job's row.
            self._log.warning("attempt_failed", code=reason.code)
        stored = msgspec.to_builtins(reason) | ({"agent": agent} if agent else {})
        job = self._job
        is_free = spends_no_try(error, attempt=job.attempt, tries=job.tries)
        may_retry = is_free or (is_retryable(error) and job.tries < job.max_tries)
        delay_s = self._delay_s(error, is_free) if may_retry else None
        if delay_s is not None:
            await self._requeue(outcome="failed", error=stored, delay_s=delay_s, refund=is_free)
        else:
            await self._end([JobFailed(error=reason)], "failed", error=stored, agent=agent)

    def _delay_s(self, error: Exception, is_free: bool) -> float | None:
        job = self._job
        if isinstance(error, ProviderError) and job.payload.get(INTERACTIVE) and not self._times.is_heard:
            age_s = (datetime.now(UTC) - job.created_at).total_seconds()
            return interactive_delay_s(error, job.tries, ran_s=self._ran_s, age_s=age_s)
        return retry_delay_s(error, job.attempt if is_free else job.tries)

    async def handed_back(self) -> None:
        """Return the job to the queue because this worker stops; that uses up no try."""
        error = {"code": "worker_stopped", "message": "The worker was stopped and returned the job to the queue."}
        await self._requeue(outcome="handed_back", error=error, refund=True)

    async def _end_unstorable(self, error: Exception, facts: dict[str, Any]) -> None:
        """Fail the job at once, since another paid attempt would end the same. Its usage is charged all the same."""
        self._log.error("result_not_storable", exc_info=error)
        reason = public_reason(error)
        charged = {name: facts[name] for name in ("usage", "used", "agent") if name in facts}
        if charged.get("agent"):
            charged["agent"] = storable_text(charged["agent"])  # it may be what could not be stored
        await self._end([JobFailed(error=reason)], "failed", error=msgspec.to_builtins(reason), **charged)

    async def _requeue(
        self, *, outcome: str, error: dict[str, Any], delay_s: float = 0.0, refund: bool = False
    ) -> None:
        await self._stream.flush(REQUEUE_FLUSH_S)
        await _requeue(
            self._context, self._job, self._log, outcome=outcome, error=error, delay_s=delay_s, refund=refund
        )
        self.outcome = Outcome("retried", error["code"])

    async def _end(self, last: list[Event], state: Any, **facts: Any) -> None:
        """Commit the end of the job, then publish its last events."""
        job = self._job
        try:
            frames = self._stream.preview(last)
            facts |= {"first_token_s": self._times.first_token_s}
            ending = Ending(state=state, last_seq=len(frames), frames=compress_frames(frames), **facts)
            ended = await finish_with_retries(self._context.pool, job, ending, is_fenced=self._is_fenced)
        except UNSTORABLE as error:
            if state == "failed":
                raise
            await self._end_unstorable(error, facts)
            return
        if ended is None:
            count_fenced(job)
            self._log.info("attempt_fenced")
            return
        self.outcome = Outcome(ending.state, (ending.error or {}).get("code", ""))
        count_ended(job, ending, ended, ran_s=self._ran_s)
        self._stream.end(frames)
        self._log_end(ending, ended, events=len(frames))
        note_ended(job, ending)
        if ended.more or ended.next_turn:
            self._context.dispatcher.kick(job.queue)
        await self._stream.flush(FLUSH_S)
        if ended.deliveries:
            await self._context.dispatcher.wake_deliverers()
        if "reserved" in job.payload:
            used = ending.usage or {"input_tokens": 0, "output_tokens": 0}
            tokens = max(0, used["input_tokens"] + used["output_tokens"]) + ended.booked_tokens
            tokens = tokens if KINDS[job.kind].metered else 0
            limits = self._context.limits
            await settle_reservation(limits, job.tenant_id, job.id, tokens=tokens, nanos=ended.cost_nanos)

    def _log_end(self, ending: Ending, ended: Ended, *, events: int) -> None:
        """The one line of a job: how it ended, its times, and what it used. Times that there were none of are left out."""
        job, times, usage = self._job, self._times, ending.usage
        facts: dict[str, Any] = {"kind": job.kind, "state": ending.state, "agent": ending.agent or job.agent}
        facts |= {"model": ending.used[0].used.model if ending.used else job.model}
        facts |= {"wait_s": round(job.waited_s, 3), "run_s": round(self._ran_s, 3)}
        if times.first_token_s is not None:
            facts["first_token_s"] = round(times.first_token_s, 3)
        if usage is not None:
            facts |= {name: usage[name] for name in ("input_tokens", "output_tokens")}
            facts["cost_usd"] = ended.cost_nanos / 1e9
        if ending.error is not None:
            facts["code"] = ending.error.get("code")
        self._log.info(
            "job_ended", **{name: value for name, value in facts.items() if value is not None}, events=events
        )


async def give_up_refused(context: QueueContext, job: ClaimedJob, log: structlog.stdlib.BoundLogger) -> None:
    """End an attempt whose stream is held by somebody else: as a rule by a newer attempt, and then nothing happens.

    If the row is ours all the same, another worker has our number by a claim that Postgres forgot, or a standby that knows less
    has become Postgres. Then the job is queued again, and its next dispatch has a higher number.
    """
    count_fenced(job)
    log.info("attempt_fenced")
    error = {"code": LOST.code, "message": LOST.message}
    await _requeue(context, job, log, outcome="lost", error=error, delay_s=REFUSED_DELAY_S, refund=True)


async def _requeue(
    context: QueueContext,
    job: ClaimedJob,
    log: structlog.stdlib.BoundLogger,
    *,
    outcome: str,
    error: dict[str, Any],
    delay_s: float,
    refund: bool,
) -> None:
    async def store() -> bool:
        async with tenant_tx(context.pool, job.tenant_id) as db:
            return await requeue_job(
                db,
                job.tenant_id,
                job.id,
                job.attempt,
                worker=job.lease_owner,
                outcome=outcome,
                delay_s=delay_s,
                error=error,
                refund=refund,
            )

    try:
        # The lease is renewed until then. A worker that stops doesn't wait: its leases expire.
        with waiting_for_postgres(0.0 if context.running.draining else PATIENCE_S):
            requeued = await retry_while_down(store)
    except Unavailable:
        log.warning("requeue_postponed")  # the lease expires, and the sweeper requeues the job
        return
    if requeued:
        count_retry(job, outcome)
        note_requeued(outcome, str(error.get("code")))
        log.info("job_requeued", outcome=outcome, delay_s=round(delay_s, 2))
        context.relay.changes.note(job.tenant_id, "jobs", job.id)
        context.dispatcher.kick_later(job.queue, delay_s)
