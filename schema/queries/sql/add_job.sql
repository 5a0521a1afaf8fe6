-- Writes a job's row, as `dispatched` where nothing stands in its way. Each step looks at more, and only where it matters:
-- what counts rows comes last. `refuse(code)` stops the whole transaction.
WITH room AS MATERIALIZED (
  SELECT t.max_running, t.max_queued, s.turns AS turn,
    CASE WHEN %(session_id)s::uuid IS NULL THEN %(user_id)s::uuid ELSE s.user_id END AS user_id,
    %(session_id)s::uuid IS NOT NULL AND (s.id IS NULL OR s.user_id IS DISTINCT FROM %(visible_user_id)s::uuid
      AND %(visible_user_id)s::uuid IS NOT NULL) AS not_yours,
    %(session_id)s::uuid IS NOT NULL AND EXISTS (
      SELECT 1 FROM jobs j WHERE j.tenant_id = t.id AND j.session_id = %(session_id)s::uuid
        AND j.state IN {LIVE_SQL}) AS parked
  FROM tenants t LEFT JOIN sessions s ON s.tenant_id = t.id AND s.id = %(session_id)s::uuid
  WHERE t.id = %(tenant_id)s),
flight AS MATERIALIZED (
  SELECT room.*, (
    SELECT count(*) FROM jobs j WHERE j.tenant_id = %(tenant_id)s AND j.state IN {IN_FLIGHT_SQL}
      AND j.kind NOT IN {UNCOUNTED_SQL}) AS in_flight
  FROM room),
capped AS MATERIALIZED (
  SELECT flight.*, max_running <= in_flight
    OR CASE WHEN %(max_running_per_tenant)s::int IS NULL THEN false ELSE %(max_running_per_tenant)s::int <= (
      SELECT count(*) FROM jobs j WHERE j.tenant_id = %(tenant_id)s AND j.queue = %(queue)s
        AND j.state IN {IN_FLIGHT_SQL}) END AS capped
  FROM flight),
start AS MATERIALIZED (
  SELECT capped.*, NOT parked AND NOT capped AND coalesce(%(run_at)s::timestamptz <= now(), true)
    AND CASE current_setting('headrace.dispatch_lock', true)
      WHEN 'all' THEN true WHEN 'one' THEN in_flight + {DISPATCH_SLOTS} <= max_running ELSE false END
    AND (SELECT 1 FROM jobs j WHERE j.tenant_id = %(tenant_id)s AND j.queue = %(queue)s AND j.state = 'queued'
      AND NOT j.parked AND j.run_at <= now() ORDER BY j.priority, j.id LIMIT 1) IS NULL
    AND NOT window_is_full(%(queue)s, %(window)s::int) AS now
  FROM capped),
depth AS MATERIALIZED (
  SELECT start.*, CASE WHEN NOT start.now AND NOT %(has_room)s::bool THEN (
    SELECT count(*) FROM (SELECT 1 FROM jobs j WHERE j.tenant_id = %(tenant_id)s AND j.state = 'queued'
      LIMIT start.max_queued) AS waiting) END AS queued
  FROM start)
INSERT INTO jobs (tenant_id, id, kind, queue, state, priority, session_id, turn, model, agent, payload, parked,
  run_at, deadline_at, max_tries, dispatch_seq, dispatched_at, inbox, request_id, user_id, actor, address, callback,
  metadata, traceparent)
SELECT %(tenant_id)s::uuid, %(job_id)s::uuid, %(kind)s, %(queue)s, CASE WHEN depth.now THEN 'dispatched' ELSE 'queued' END,
  %(priority)s::int, %(session_id)s::uuid, depth.turn, %(model)s, %(agent)s, %(payload)s, depth.parked,
  greatest(%(run_at)s::timestamptz, now()),
  greatest(%(run_at)s::timestamptz, now()) + make_interval(secs => %(deadline_s)s), %(max_tries)s::int,
  depth.now::int, CASE WHEN depth.now THEN now() END, %(inbox)s, %(request_id)s, depth.user_id, %(actor)s, %(address)s,
  %(callback)s::jsonb, %(metadata)s::jsonb, %(traceparent)s
FROM depth
WHERE CASE
  WHEN depth.not_yours THEN refuse('{NOT_YOURS}')
  WHEN depth.now THEN true
  WHEN depth.parked AND %(on_busy)s = 'reject' THEN refuse('{SESSION_BUSY}')
  WHEN depth.queued >= depth.max_queued THEN refuse('{QUEUE_FULL}')
  ELSE true END
RETURNING state, dispatch_seq, parked, created_at, (SELECT capped FROM depth) AS capped,
  (SELECT max_queued - queued FROM depth) AS room
