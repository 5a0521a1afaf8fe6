"""Committing an attempt's end, again and again while Postgres is away: the work is done and must not be lost.

A commit whose answer got lost may have happened. Then the compare-and-set finds nothing to do, and the row tells that it was
us.
"""

import asyncio
from collections.abc import Callable

from schema.db import Pool, tenant_tx
from schema.errors import Unavailable
from schema.queries.jobs.attempts import ClaimedJob, Ended, Ending, finish_job
from schema.queries.jobs.jobs import find_job_status
from schema.states import TERMINAL

COMMIT_S = 60.0  # how long an end is tried against a Postgres that is away


async def finish_with_retries(pool: Pool, job: ClaimedJob, ending: Ending, *, lost: Callable[[], bool]) -> Ended | None:
    """End a claimed job; None if a newer attempt has it. `lost` tells that trying on is in vain.

    Raises Unavailable when Postgres stays away; then the lease runs out and the job is done again.
    """
    loop = asyncio.get_running_loop()
    until, pause_s, unsure = loop.time() + COMMIT_S, 0.1, False
    while True:
        try:
            ended = await finish_job(pool, job.tenant_id, job.id, job.attempt, ending, session_id=job.session_id)
            if ended is None and unsure and await _was_ours(pool, job, ending):
                ended = Ended(more=True, next_turn=True)
            return ended
        except Unavailable:
            if loop.time() > until or lost():
                raise
            unsure = True
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, 2.0)


async def _was_ours(pool: Pool, job: ClaimedJob, ending: Ending) -> bool:
    async with tenant_tx(pool, job.tenant_id) as db:
        row = await find_job_status(db, job.tenant_id, job.id)
    return row is not None and row.state == ending.state in TERMINAL and row.attempt == job.attempt
