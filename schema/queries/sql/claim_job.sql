-- Makes a dispatched job an attempt's own, and reads with it what the attempt needs before it can ask a model.
-- The attempt has the number of its dispatch, which was on disk before the doorbell was rung: its commit doesn't wait for the
-- disk, and a crash may forget it (DECISIONS 73).
-- Of the tenant it needs the limits, and not the grants and agents that `tenant_facts()` reads as well.
-- Its state is compared with a parameter: a literal would let the planner take a partial index of all jobs in that state
-- instead of the primary key.
WITH claimed AS (
  UPDATE jobs SET state = 'running', attempt = dispatch_seq, tries = tries + 1, lease_owner = %(worker)s,
    lease_until = now() + make_interval(secs => %(lease_s)s), started_at = coalesce(started_at, now())
  WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND state = %(from_state)s AND dispatch_seq = %(dispatch_seq)s
  RETURNING *, extract(epoch FROM deadline_at - now())::float8 AS left_s,
    extract(epoch FROM started_at - created_at)::float8 AS waited_s,
    started_at = now() AS is_first),
tried AS (
  INSERT INTO attempts (tenant_id, job_id, attempt, worker) SELECT tenant_id, id, attempt, %(worker)s FROM claimed)
SELECT j.id, j.tenant_id, kind, queue, session_id, turn, model, agent, payload, attempt, lease_owner, is_first, tries, max_tries, inbox, request_id, traceparent,
  error, j.created_at, left_s, waited_s, user_id, suspect, probation_s, c.id AS credential_id, c.service, c.base_url, c.key_id, c.sealed,
  models_version() AS models_version, CASE WHEN payload ? 'reserved' THEN (
    SELECT to_jsonb(t) FROM tenants t WHERE t.id = j.tenant_id) END AS tenant
FROM claimed j LEFT JOIN credentials c ON c.tenant_id = j.tenant_id AND c.service = split_part(j.model, '/', 1)
