"""Suspects: jobs that were lost with their worker. One of them may have killed it, and must not take the others along.

Whether a worker was killed by a job or by chance can't be seen from one loss. So jobs that are lost together spend no try
and become suspects: they run again in batches, the next of which starts when all of this one are cleared, and each loss
makes the batches smaller, until the job that kills its workers runs as the only suspect. That loss is its own: it spends
a try, and after `max_tries` the job fails with that reason.

A suspect is cleared when it has run for its probation. After the first loss that is a second, since most workers die by
chance and people wait for their answers; later it is longer than the job had run when it was last lost, since some jobs
kill only after a while. `losses` counts losses that nothing else explains: a cleared job that is lost with an uncleared
one begins again.

    worker lost ─┬─ one suspect ran there ──────────► it spends a try; the others start over as suspects
                 ├─ several suspects ran there ─────► they are lost once more: smaller batches
                 └─ none: all were cleared or new ──► one job: it spends a try; several: all are lost once more

The batches are chosen in `schema/queries/sql/dispatch_jobs.sql`; a process knows nothing of others' suspects.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from itertools import groupby

import structlog

from schema.errors import Unavailable, WorkerLost
from schema.postgres.connections import Pool, tenant_tx
from schema.queries.jobs.attempts import ClaimedJob, clear_suspect
from schema.queries.jobs.sweeper import LostJob, RequeuedJob
from workers.queue.dispatch import Dispatcher
from workers.queue.errors import retry_delay_s

log = structlog.get_logger()

FIRST_PROBATION_S, MAX_PROBATION_S = 1.0, 30.0
PROBATION_FACTOR = 1.5  # a probation, as a multiple of how long the job had run
RETRY_S = 1.0

LOST = WorkerLost("The worker that ran the job was lost.")


def assess_losses(lost: Sequence[LostJob]) -> list[RequeuedJob]:
    """Return how each lost job goes back to the queue, by which jobs were lost together. One that spends its last try is
    not left out; the caller ends it."""
    by_owner = sorted(lost, key=lambda job: job.lease_owner)
    return [
        back for _, jobs in groupby(by_owner, key=lambda job: job.lease_owner) for back in _assess_worker(list(jobs))
    ]


def _assess_worker(jobs: list[LostJob]) -> list[RequeuedJob]:
    suspects = [job for job in jobs if job.suspect]
    blamed = suspects or jobs
    return [_return(job, blamed=job in blamed, alone=len(blamed) == 1) for job in jobs]


def _return(job: LostJob, *, blamed: bool, alone: bool) -> RequeuedJob:
    losses = job.losses + 1 if blamed else 1
    probation_s = FIRST_PROBATION_S
    if losses > 1:
        probation_s = min(max(PROBATION_FACTOR * job.lived_s, FIRST_PROBATION_S), MAX_PROBATION_S)
    spends = blamed and alone
    delay_s = retry_delay_s(LOST, job.tries) if spends else 0.0
    return RequeuedJob(job=job, delay_s=delay_s, refund=not spends, losses=losses, probation_s=probation_s)


@asynccontextmanager
async def probation(pool: Pool, dispatcher: Dispatcher, job: ClaimedJob) -> AsyncGenerator[None, None]:
    """While a suspect runs in the body, clear it when its time is over; does nothing for other jobs."""
    if not job.suspect:
        yield
        return
    clearing = asyncio.create_task(_clear(pool, dispatcher, job), name="probation")
    try:
        yield
    finally:
        clearing.cancel()
        await asyncio.gather(clearing, return_exceptions=True)


async def _clear(pool: Pool, dispatcher: Dispatcher, job: ClaimedJob) -> None:
    await asyncio.sleep(job.probation_s or FIRST_PROBATION_S)
    while True:
        try:
            async with tenant_tx(pool, job.tenant_id) as db:
                await clear_suspect(db, job.tenant_id, job.id, job.attempt, worker=job.lease_owner)
        except Unavailable:
            await asyncio.sleep(RETRY_S)
        else:
            dispatcher.kick(job.queue)
            return
