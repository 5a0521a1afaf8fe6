"""Commits the end of an attempt, with retries while Postgres is unavailable: the work is done and must not be lost.

If the reply to a commit was lost, the commit may have happened. The retry then updates nothing, and the row shows
whether it was ours.
"""

import asyncio
import zlib
from collections.abc import Callable

from schema.errors import Unavailable
from schema.postgres.connections import Pool, tenant_tx
from schema.queries.jobs.attempts import ClaimedJob, Ended, Ending, finish_job
from schema.queries.jobs.jobs import find_log

RETRY_S = 60.0  # how long to retry while Postgres is unavailable


async def finish_with_retries(
    pool: Pool, job: ClaimedJob, ending: Ending, *, is_fenced: Callable[[], bool]
) -> Ended | None:
    """End a claimed job; return None if a newer attempt has it. There are no retries once `is_fenced` is true.

    Raises Unavailable if Postgres stays unavailable; the lease then expires and the job is attempted again.
    """
    loop = asyncio.get_running_loop()
    until, pause_s, may_be_committed = loop.time() + RETRY_S, 0.1, False
    while True:
        try:
            ended = await finish_job(
                pool,
                job.tenant_id,
                job.id,
                job.attempt,
                ending,
                session_id=job.session_id,
                worker=job.lease_owner,
            )
            if ended is None and may_be_committed and await was_ours(pool, job, ending):
                ended = Ended(more=True, next_turn=True)
            return ended
        except Unavailable:
            if loop.time() > until or is_fenced():
                raise
            may_be_committed = True
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, 2.0)


async def was_ours(pool: Pool, job: ClaimedJob, ending: Ending) -> bool:
    """Whether the job's log is the one that we wrote: its frames have our times, so nobody else's are the same."""
    async with tenant_tx(pool, job.tenant_id) as db:
        return await find_log(db, job.tenant_id, job.id) == zlib.decompress(ending.frames)
