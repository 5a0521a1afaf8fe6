"""Retries jobs, one or many in a call, such as all that failed during an outage. A retry reserves as its submit did."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from api.auth.principals import Principal
from api.jobs.submit import reserve
from api.resources import Resources
from schema.errors import LimitReached, NotFound
from schema.job_kinds import Kind
from schema.queries.jobs.job_lists import list_jobs
from schema.queries.jobs.jobs import find_ended_reservation, list_missing
from workers.queue.cancel import retry
from workers.queue.job_core import JobCore

MAX_RETRIED = 1000
PAGE = 100


class RetryIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which jobs to retry."""

    states: Annotated[
        list[Literal["failed", "cancelled"]],
        Meta(
            min_length=1,
            max_length=10,
            description="Jobs in these states; failed ones by default. Ignored if `ids` is given.",
        ),
    ] = msgspec.field(default_factory=lambda: ["failed"])
    kind: Annotated[Kind | None, Meta(description="Only jobs of this kind. Ignored if `ids` is given.")] = None
    ids: (
        Annotated[
            list[UUID],
            Meta(
                min_length=1,
                max_length=MAX_RETRIED,
                description="These jobs. Those that are neither failed nor cancelled are skipped.",
            ),
        ]
        | None
    ) = None


class RetriedOut(msgspec.Struct, frozen=True, kw_only=True):
    """The jobs that were queued again."""

    retried: Annotated[int, Meta(description="Number of jobs that were queued again.")]
    ids: Annotated[list[UUID], Meta(description="Ids of these jobs.")]
    more: Annotated[bool, Meta(description="Whether more jobs match; call again to retry them.")]


async def retry_job_within_limits(resources: Resources, principal: Principal, job_id: UUID) -> bool:
    """Queue a failed or cancelled job again; return False if it is in another state. Raises NotFound, and LimitReached where
    the limits of the tenant or the caller's budgets have no room for it.

    What another retry has reserved at the same moment is left to that one, and what nobody uses to the scheduler."""
    async with principal.tx(resources.core.pool) as db:
        held = await find_ended_reservation(db, principal.tenant_id, job_id)
    if held is not None:
        model, tokens = held
        await reserve(resources, principal, job_id, model, (0, tokens))
    return await retry(resources.core, principal.tenant_id, job_id, visible_user_id=principal.visible_user_id)


async def retry_selected(resources: Resources, principal: Principal, selection: RetryIn) -> RetriedOut:
    """Queue the selected jobs again, as far as limits allow; those that are not failed or cancelled are skipped. Raises
    NotFound for unknown ids, before any job is queued, and LimitReached if the first one doesn't fit."""
    core = resources.core
    if selection.ids is not None:
        await _require_jobs(core, principal, selection.ids)
    job_ids = selection.ids if selection.ids is not None else await _select_jobs(core, principal, selection)
    retried: list[UUID] = []
    for job_id in job_ids[:MAX_RETRIED]:
        try:
            if await _retry_one(resources, principal, job_id):
                retried.append(job_id)
        except LimitReached:
            if not retried:
                raise
            return RetriedOut(retried=len(retried), ids=retried, more=True)
    return RetriedOut(retried=len(retried), ids=retried, more=len(job_ids) > MAX_RETRIED)


async def _require_jobs(core: JobCore, principal: Principal, ids: list[UUID]) -> None:
    async with principal.tx(core.pool) as db:
        missing = await list_missing(db, principal.tenant_id, ids)
    if missing:
        raise NotFound(f"No such jobs: {', '.join(str(job_id) for job_id in missing[:5])}.", field="ids")


async def _retry_one(resources: Resources, principal: Principal, job_id: UUID) -> bool:
    try:
        return await retry_job_within_limits(resources, principal, job_id)
    except NotFound:
        return False


async def _select_jobs(core: JobCore, principal: Principal, selection: RetryIn) -> list[UUID]:
    """Return the ids of matching jobs, newest first; more than `MAX_RETRIED` if some would remain."""
    job_ids: list[UUID] = []
    async with principal.tx(core.pool) as db:
        while len(job_ids) <= MAX_RETRIED:
            before = job_ids[-1] if job_ids else None
            rows = await list_jobs(
                db,
                principal.tenant_id,
                limit=PAGE,
                before=before,
                kind=selection.kind,
                states=selection.states,
                user_id=principal.visible_user_id,
            )
            job_ids += [row.id for row in rows]
            if len(rows) < PAGE:
                break
    return job_ids
