-- Whose turn it is: the tenants with the fewest jobs in flight per weight, then by their first job's priority and age, and no
-- more of them than jobs that may be dispatched; and those of the suspects that go first. Only these are locked and looked at
-- again (`dispatch_jobs.sql`): with ten thousand tenants that wait, all of them would be a lock each, and most of the work for
-- nothing. Who is left out here because something changed meanwhile is in the next round.
-- `waiting` is a skip scan: one index probe for each tenant that has anything waiting, however much waits and however much has
-- ended. The whole of the index's order is spelled out, so that no other index can serve it.
WITH RECURSIVE waiting AS (
  (SELECT tenant_id FROM jobs WHERE state = 'queued' ORDER BY tenant_id, queue, parked, priority, id LIMIT 1)
  UNION ALL
  SELECT (SELECT j.tenant_id FROM jobs j WHERE j.state = 'queued' AND j.tenant_id > w.tenant_id
    ORDER BY j.tenant_id, j.queue, j.parked, j.priority, j.id LIMIT 1)
  FROM waiting w WHERE w.tenant_id IS NOT NULL),
able AS MATERIALIZED (
  SELECT t.id AS tenant_id, (flight.jobs + 1)::float / greatest(t.weight, 1) AS share
  FROM waiting w JOIN tenants t ON t.id = w.tenant_id CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE f.kind NOT IN {UNCOUNTED_SQL}) AS jobs, count(*) FILTER (WHERE f.queue = %(queue)s) AS here
    FROM jobs f WHERE f.tenant_id = w.tenant_id AND f.state IN {IN_FLIGHT_SQL}) AS flight
  WHERE t.state = %(tenant_state)s AND t.max_running > flight.jobs
    AND (%(max_running_per_tenant)s::int IS NULL OR %(max_running_per_tenant)s::int > flight.here)),
first AS (
  SELECT able.tenant_id FROM able CROSS JOIN LATERAL (
    SELECT j.priority, j.id FROM jobs j WHERE j.tenant_id = able.tenant_id AND j.queue = %(queue)s AND j.state = 'queued'
      AND NOT j.parked AND j.run_at <= now() AND NOT j.suspect ORDER BY j.priority, j.id LIMIT 1) AS job
  ORDER BY able.share, job.priority, job.id
  LIMIT (SELECT greatest(0, %(window)s - count(*)) FROM jobs WHERE queue = %(queue)s AND state = 'dispatched')),
suspects AS (
  SELECT s.tenant_id FROM jobs s JOIN able ON able.tenant_id = s.tenant_id
  WHERE s.queue = %(queue)s AND s.suspect AND s.state = 'queued' AND NOT s.parked AND s.run_at <= now()
  ORDER BY s.losses DESC, s.run_at, s.id LIMIT (SELECT max(size) FROM unnest(%(batches)s::int[]) AS size)),
due AS MATERIALIZED (
  SELECT tenant_id FROM first UNION SELECT tenant_id FROM suspects ORDER BY tenant_id)
SELECT tenant_id, pg_advisory_xact_lock(%(lock)s, hashtext(tenant_id::text)) FROM due
