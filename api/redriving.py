"""Driving many jobs again in one call: the dead letters after an outage."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from schema.db import tenant_tx
from schema.errors import NotFound
from schema.kinds import Kind
from schema.queries.jobs import list_jobs
from workers.cancel import redrive
from workers.ports import Ports

AT_ONCE = 1000
PAGE = 100


class RetryIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which jobs; without `ids`, all in these states (failed ones unless said otherwise) and of this kind."""

    states: Annotated[list[Literal["failed", "cancelled"]], Meta(min_length=1)] = msgspec.field(
        default_factory=lambda: ["failed"]
    )
    kind: Kind | None = None
    ids: Annotated[list[UUID], Meta(min_length=1, max_length=AT_ONCE)] | None = None


class RetriedOut(msgspec.Struct, frozen=True, kw_only=True):
    """The jobs that wait again. `more`: there are others that fit; call again."""

    retried: int
    ids: list[UUID]
    more: bool


async def retry_jobs(ports: Ports, tenant_id: UUID, wanted: RetryIn) -> RetriedOut:
    """Queue the wanted jobs again; those that are not failed or cancelled are passed over."""
    chosen = wanted.ids if wanted.ids is not None else await _choose(ports, tenant_id, wanted)
    retried = [job_id for job_id in chosen[:AT_ONCE] if await _redriven(ports, tenant_id, job_id)]
    return RetriedOut(retried=len(retried), ids=retried, more=len(chosen) > AT_ONCE)


async def _redriven(ports: Ports, tenant_id: UUID, job_id: UUID) -> bool:
    try:
        return await redrive(ports, tenant_id, job_id)
    except NotFound:
        return False


async def _choose(ports: Ports, tenant_id: UUID, wanted: RetryIn) -> list[UUID]:
    """Return the ids that fit, newest first, and one more than is driven at once if there are more."""
    chosen: list[UUID] = []
    async with tenant_tx(ports.pool, tenant_id) as db:
        while len(chosen) <= AT_ONCE:
            before = chosen[-1] if chosen else None
            rows = await list_jobs(
                db, tenant_id, limit=PAGE, before=before, kind=wanted.kind, states=list(wanted.states)
            )
            chosen += [row["id"] for row in rows]
            if len(rows) < PAGE:
                break
    return chosen
