"""queue_load(): how much there is to do in a queue, for what starts and stops workers (docs/deployment.md).

Row security lets a login of an autoscaler read no job, and it need not: it is granted this function alone, by whoever makes it.
"""

from alembic import op

from schema.migrations import security

revision = "0036"
down_revision = "0035"

# Jobs that are parked wait for their session, and those with a later run_at for their retry: more workers don't help them.
# Nobody starts workers for more than so many, so no more are read.
QUEUE_LOAD = """
CREATE FUNCTION queue_load(wanted text) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET enable_seqscan = off AS $$
  SELECT count(*) FROM (
    SELECT 1 FROM jobs j WHERE j.queue = wanted AND j.state IN ('queued', 'dispatched', 'running')
      AND NOT j.parked AND j.run_at <= now() LIMIT 20000) AS due
$$;
"""


def upgrade() -> None:
    op.execute(security.as_system(QUEUE_LOAD, "queue_load(text)"))
    op.execute("REVOKE EXECUTE ON FUNCTION queue_load(text) FROM headrace_app")  # a tenant's transactions don't ask


def downgrade() -> None:
    op.execute("DROP FUNCTION queue_load(text)")
