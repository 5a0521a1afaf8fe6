-- Dispatches what waits: the tenant with the fewest jobs in flight per weight first, then priority, then age. A statement of
-- its own, because it must see what was committed before the tenants' locks were got (`lock_tenants.sql`). Of suspects, those
-- that were lost most often go first, as many as `batches` allows, and only when no other suspect is in flight
-- (`workers/queue/suspects.py`).
WITH flight AS (
  SELECT tenant_id, count(*) FILTER (WHERE kind NOT IN {UNCOUNTED_SQL}) AS jobs, count(*) FILTER (WHERE queue = %(queue)s) AS here FROM jobs
  WHERE state IN {IN_FLIGHT_SQL} AND tenant_id = ANY(%(tenants)s) GROUP BY tenant_id),
room AS (
  SELECT greatest(0, %(window)s - (SELECT count(*) FROM jobs WHERE queue = %(queue)s AND state = 'dispatched')) AS jobs),
due_suspects AS (
  SELECT s.tenant_id, s.id, s.losses, max(s.losses) OVER () AS most,
    row_number() OVER (ORDER BY s.losses DESC, s.run_at, s.id) AS place
  FROM jobs s JOIN tenants t ON t.id = s.tenant_id LEFT JOIN flight ON flight.tenant_id = t.id
  WHERE s.queue = %(queue)s AND s.suspect AND s.state = 'queued' AND NOT s.parked AND s.run_at <= now()
    AND s.tenant_id = ANY(%(tenants)s) AND t.state = %(tenant_state)s AND t.max_running > coalesce(flight.jobs, 0)),
batch AS (
  SELECT tenant_id, id FROM due_suspects
  WHERE losses = most AND place <= (%(batches)s::int[])[least(most, array_length(%(batches)s::int[], 1))]
    AND NOT EXISTS (
      SELECT 1 FROM jobs s WHERE s.queue = %(queue)s AND s.suspect AND s.state IN {IN_FLIGHT_SQL})),
ranked AS (
  SELECT next.tenant_id, next.id, next.priority, (coalesce(flight.jobs, 0)
    + row_number() OVER (PARTITION BY t.id ORDER BY next.priority, next.id))::float / greatest(t.weight, 1) AS share
  FROM tenants t LEFT JOIN flight ON flight.tenant_id = t.id CROSS JOIN room CROSS JOIN LATERAL (
    SELECT j.tenant_id, j.id, j.priority FROM jobs j
    WHERE j.tenant_id = t.id AND j.queue = %(queue)s AND j.state = 'queued' AND NOT j.parked AND j.run_at <= now()
      AND (NOT j.suspect OR (j.tenant_id, j.id) IN (SELECT tenant_id, id FROM batch))
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
