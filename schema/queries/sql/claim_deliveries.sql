-- Claims deliveries that are due, under the deliverers' lock. A skip scan visits each lane that has anything pending once, however
-- much waits in it, and takes its oldest, as many as the lane may have on their way. Lanes that were slow lately get only
-- `slow_room` of the places, and a tenant `per_tenant`: whoever doesn't answer holds up nobody else.
-- Limits are literals where the planner should know them: it takes a parameter for a tenth of the table, and then reads all of it.
-- The last state is in a CASE, so that no plan begins with all that is pending.
WITH RECURSIVE lanes AS (
  (SELECT tenant_id, lane FROM webhook_deliveries WHERE state = 'pending' ORDER BY tenant_id, lane, next_at, id LIMIT 1)
  UNION ALL
  SELECT next.tenant_id, next.lane FROM lanes l CROSS JOIN LATERAL (
    SELECT d.tenant_id, d.lane FROM webhook_deliveries d
    WHERE d.state = 'pending' AND (d.tenant_id, d.lane) > (l.tenant_id, l.lane)
    ORDER BY d.tenant_id, d.lane, d.next_at, d.id LIMIT 1) AS next),
busy AS MATERIALIZED (
  SELECT tenant_id, lane, count(*) AS sending FROM webhook_deliveries WHERE state = 'sending' GROUP BY tenant_id, lane),
due AS (
  SELECT l.tenant_id, l.lane, one.id, one.next_at, (l.tenant_id || ' ' || l.lane) = ANY(%(slow)s::text[]) AS slow
  FROM lanes l LEFT JOIN busy b ON b.tenant_id = l.tenant_id AND b.lane = l.lane CROSS JOIN LATERAL (
    SELECT d.id, d.next_at, row_number() OVER (ORDER BY d.next_at, d.id) AS place FROM (
      SELECT id, next_at FROM webhook_deliveries d
      WHERE d.tenant_id = l.tenant_id AND d.lane = l.lane AND d.state = 'pending' AND d.next_at <= now()
      ORDER BY d.next_at, d.id LIMIT {PER_LANE}) AS d) AS one
  WHERE (l.tenant_id || ' ' || l.lane) <> ALL(%(held)s::text[]) AND one.place + coalesce(b.sending, 0) <= {PER_LANE}),
ranked AS (
  SELECT due.*, row_number() OVER (PARTITION BY due.tenant_id ORDER BY due.next_at, due.id) + coalesce((
      SELECT sum(b.sending) FROM busy b WHERE b.tenant_id = due.tenant_id), 0) AS of_tenant,
    row_number() OVER (PARTITION BY due.slow ORDER BY due.next_at, due.id) AS of_kind
  FROM due),
chosen AS (
  SELECT tenant_id, id FROM (
    SELECT tenant_id, id FROM ranked
    WHERE of_tenant <= %(per_tenant)s::int AND (NOT slow OR of_kind <= %(slow_room)s::int)
    ORDER BY next_at, id LIMIT %(room)s::int) AS first LIMIT {MOST})
UPDATE webhook_deliveries d SET state = 'sending', attempt = d.attempt + 1, tries = d.tries + 1, lease_owner = %(owner)s,
  lease_until = now() + make_interval(secs => %(lease_s)s)
FROM chosen c WHERE d.tenant_id = c.tenant_id AND d.id = c.id AND CASE WHEN d.state = 'pending' THEN true ELSE false END
RETURNING d.tenant_id, d.id, d.lane, d.attempt, d.tries
