"""Submits a job of a schedule, in its owner's name and within the tenant's limits. When it is due is decided in `due.py`."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import structlog

from schema.errors import NotFound
from schema.ids import new_id
from schema.postgres.batch import Statement
from schema.postgres.connections import tenant_tx
from schema.queries.schedules import schedules as queries
from schema.queries.schedules.schedules import Schedule
from schema.vault import Vault
from workers.limits.reservation import reserved_payload, settle_reservation
from workers.queue.job_core import JobCore
from workers.queue.submit import submit
from workers.schedules.owners import Permission, require_permission, submitter
from workers.schedules.reserve import reserve
from workers.schedules.template import CompiledJob, build_submission, read_compiled

log = structlog.get_logger()


class ScheduledJobs:
    """Submits jobs of schedules. `clock` tells the time."""

    def __init__(
        self, core: JobCore, vault: Vault, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.core, self._vault, self.clock = core, vault, clock

    async def permit(self, tenant_id: UUID, schedule: Schedule) -> Permission:
        """Return that the job may be submitted. Raises what `require_permission` raises."""
        async with tenant_tx(self.core.pool, tenant_id) as db:
            return await require_permission(db, tenant_id, schedule, read_compiled(schedule))

    async def run_now(self, tenant_id: UUID, schedule: Schedule) -> UUID:
        """Submit a job of a schedule at once, whatever its state and times; return its id. Raises what a submit raises,
        and what would pause the schedule."""
        permission, job_id = await self.permit(tenant_id, schedule), new_id()
        statements = (
            queries.add_run(tenant_id, schedule.id, self.clock(), "submitted", job_id=job_id, manual=True),
            queries.keep_session(tenant_id, schedule.id, job_id),
        )
        return await self.submit(tenant_id, schedule, permission, job_id, statements)

    async def submit(
        self,
        tenant_id: UUID,
        schedule: Schedule,
        permission: Permission,
        job_id: UUID,
        statements: tuple[Statement, ...],
    ) -> UUID:
        """Submit a job with statements that run in its transaction; return its id.

        Raises LimitReached, QueueFull, Unavailable and, if the statements refuse, ScheduleMoved; then nothing was submitted.
        """
        compiled = read_compiled(schedule)
        verdict = await reserve(self.core, permission, compiled, job_id)
        payload = permission.payload | reserved_payload(verdict, permission.budgets)
        try:
            await self._submit_in_session(tenant_id, schedule, compiled, permission, job_id, payload, statements)
        except BaseException:
            if verdict is not None:
                limits = self.core.limits
                await settle_reservation(limits, tenant_id, job_id, tokens=0, nanos=0, refund_request=True)
            raise
        log.info("schedule_submitted", tenant_id=str(tenant_id), schedule_id=str(schedule.id), job_id=str(job_id))
        return job_id

    async def _submit_in_session(
        self,
        tenant_id: UUID,
        schedule: Schedule,
        compiled: CompiledJob,
        permission: Permission,
        job_id: UUID,
        payload: dict[str, Any],
        statements: tuple[Statement, ...],
    ) -> None:
        """Submit the job in the session that goes on, or in a new one if that was deleted."""
        for_tools = compiled.agent is not None
        by = submitter(self._vault, tenant_id, schedule, permission, job_id, for_tools=for_tools)
        while True:
            try:
                submission = build_submission(
                    tenant_id,
                    schedule,
                    compiled,
                    job_id,
                    payload=payload,
                    model=permission.model,
                    submitted_by=by,
                    statements=statements,
                )
                await submit(self.core, submission)
                return
            except NotFound:
                if schedule.session_id is None:
                    raise
                schedule = msgspec.structs.replace(schedule, session_id=None)
