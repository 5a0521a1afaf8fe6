-- Dispatches what waits: the tenant with the fewest jobs in flight per weight first, then priority, then age. A statement of
-- its own, because it must see what was committed before the tenants' locks were got (`lock_tenants.sql`).
WITH flight AS (
  SELECT tenant_id, count(*) AS jobs, count(*) FILTER (WHERE queue = %(queue)s) AS here FROM jobs
  WHERE state IN {IN_FLIGHT_SQL} AND tenant_id = ANY(%(tenants)s) GROUP BY tenant_id),
room AS (
  SELECT greatest(0, %(window)s - (SELECT count(*) FROM jobs WHERE queue = %(queue)s AND state = 'dispatched')) AS jobs),
ranked AS (
  SELECT next.tenant_id, next.id, next.priority, (coalesce(flight.jobs, 0)
    + row_number() OVER (PARTITION BY t.id ORDER BY next.priority, next.id))::float / greatest(t.weight, 1) AS share
  FROM tenants t LEFT JOIN flight ON flight.tenant_id = t.id CROSS JOIN room CROSS JOIN LATERAL (
    SELECT j.tenant_id, j.id, j.priority FROM jobs j
    WHERE j.tenant_id = t.id AND j.queue = %(queue)s AND j.state = 'queued' AND NOT j.parked AND j.run_at <= now()
    ORDER BY j.priority, j.id
    LIMIT least(room.jobs, greatest(0, t.max_running - coalesce(flight.jobs, 0)),
      CASE WHEN %(max_running_per_tenant)s::int IS NOT NULL THEN greatest(0, %(max_running_per_tenant)s::int - coalesce(flight.here, 0)) END)
    FOR UPDATE SKIP LOCKED) AS next
  WHERE t.id = ANY(%(tenants)s) AND t.state = %(tenant_state)s),
chosen AS (
  SELECT tenant_id, id FROM ranked ORDER BY share, priority, id LIMIT (SELECT jobs FROM room))
UPDATE jobs j SET state = 'dispatched', dispatch_seq = dispatch_seq + 1, dispatched_at = now()
FROM chosen c WHERE j.tenant_id = c.tenant_id AND j.id = c.id AND j.state = %(from_state)s
RETURNING j.tenant_id, j.id, j.kind, j.dispatch_seq, j.inbox
