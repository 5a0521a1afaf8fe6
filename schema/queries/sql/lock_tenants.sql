-- A skip scan: one index probe for each tenant that has anything waiting, however much waits and however much has ended.
-- The whole of the index's order is spelled out, so that no other index can serve it.
WITH RECURSIVE waiting AS (
  (SELECT tenant_id FROM jobs WHERE state = 'queued' ORDER BY tenant_id, queue, parked, priority, id LIMIT 1)
  UNION ALL
  SELECT (SELECT j.tenant_id FROM jobs j WHERE j.state = 'queued' AND j.tenant_id > w.tenant_id
    ORDER BY j.tenant_id, j.queue, j.parked, j.priority, j.id LIMIT 1)
  FROM waiting w WHERE w.tenant_id IS NOT NULL),
due AS MATERIALIZED (
  SELECT w.tenant_id FROM waiting w CROSS JOIN LATERAL (
    SELECT 1 FROM jobs j WHERE j.tenant_id = w.tenant_id AND j.queue = %(queue)s AND j.state = 'queued'
      AND NOT j.parked AND j.run_at <= now() ORDER BY j.priority, j.id LIMIT 1) AS one
  WHERE w.tenant_id IS NOT NULL
  ORDER BY w.tenant_id)
SELECT tenant_id, pg_advisory_xact_lock(%(lock)s, hashtext(tenant_id::text)) FROM due
