-- Ends a job, if the attempt still holds it, with all that comes of it: log, attempt, message, usage, audit row, webhooks. What
-- only the run needed is removed: the agent's checkpoints and the caller's token. Without a row in `ended`, nothing happens.
-- Of webhooks, a tenant that has none pays one look into an index.
WITH ended AS (
  UPDATE jobs SET state = %(state)s, result = %(result)s, error = %(error)s, finished_at = now(), lease_owner = NULL,
    lease_until = NULL, parked = false, payload = CASE WHEN %(drop_messages)s::bool THEN payload - ARRAY['messages', 'messages_in_order'] ELSE payload END
  WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND attempt = %(attempt)s AND state = ANY(%(from_states)s)
    AND CASE WHEN %(worker)s::text IS NULL THEN dispatch_seq = %(dispatch_seq)s::int ELSE lease_owner = %(worker)s::text END
  RETURNING tenant_id, id, kind, queue, session_id, turn, model, agent, user_id, actor, address, request_id, callback,
    metadata, created_at, started_at, finished_at, payload ? '{OF_BATCH}' AS of_batch),
log AS (
  INSERT INTO job_logs (tenant_id, job_id, last_seq, frames)
  SELECT tenant_id, id, %(last_seq)s::int, %(frames)s::bytea FROM ended
  ON CONFLICT (tenant_id, job_id) DO UPDATE SET last_seq = excluded.last_seq, frames = excluded.frames),
tried AS (
  UPDATE attempts SET ended_at = now(), outcome = %(state)s, error = %(error)s
  WHERE tenant_id = %(tenant_id)s AND job_id = %(id)s AND attempt = %(attempt)s AND EXISTS (SELECT 1 FROM ended)),
said AS (
  INSERT INTO messages (tenant_id, id, session_id, job_id, turn, ordinal, role, parts, status, model, agent, usage, detail)
  SELECT tenant_id, %(message_id)s::uuid, session_id, id, turn, 1, 'assistant', %(parts)s::jsonb, %(message_status)s,
    model, coalesce(%(agent)s, agent), %(usage)s::jsonb, %(detail)s::jsonb
  FROM ended WHERE session_id IS NOT NULL AND %(parts)s::jsonb IS NOT NULL),
used AS (
  -- A row for each model that was called, with what it cost at its own price. No count can give money back.
  INSERT INTO usage_records (tenant_id, id, day, user_id, agent, model, jobs, input_tokens, output_tokens, cost_nanos,
    own_key_input_tokens, own_key_output_tokens, key_id)
  SELECT ended.tenant_id, u.id, (now() AT TIME ZONE 'UTC')::date, ended.user_id, coalesce(%(agent)s, ended.agent, ''), u.model,
    u.jobs, greatest(u.input_tokens, 0), greatest(u.output_tokens, 0),
    greatest(u.cost_nanos, 0), greatest(u.own_key_input_tokens, 0), greatest(u.own_key_output_tokens, 0),
    CASE WHEN starts_with(ended.actor, 'key:') THEN substr(ended.actor, 5)::uuid END
  FROM ended, jsonb_to_recordset(%(used)s::jsonb) AS u (id uuid, model text, jobs integer, input_tokens bigint,
      output_tokens bigint, cost_nanos bigint, own_key_input_tokens bigint, own_key_output_tokens bigint)
  WHERE ended.model IS NOT NULL
  RETURNING cost_nanos, input_tokens, output_tokens),
booked AS (
  -- What a benchmark used was booked with each of its iterations (`add_iteration.sql`).
  SELECT coalesce(sum(i.cost_nanos), 0)::bigint AS cost_nanos,
    coalesce(sum(i.input_tokens), 0)::bigint AS input_tokens, coalesce(sum(i.output_tokens), 0)::bigint AS output_tokens
  FROM ended JOIN benchmark_iterations i ON i.tenant_id = ended.tenant_id AND i.benchmark_id = ended.id
  WHERE ended.kind = 'benchmark'),
sampled AS (
  INSERT INTO job_samples (tenant_id, kind, state, wait_s, run_s, first_token_s, input_tokens, output_tokens, cost_nanos)
  SELECT ended.tenant_id, ended.kind, %(state)s, extract(epoch FROM ended.started_at - ended.created_at),
    extract(epoch FROM ended.finished_at - ended.started_at), %(first_token_s)s::float8,
    booked.input_tokens + coalesce((SELECT sum(input_tokens) FROM used), 0),
    booked.output_tokens + coalesce((SELECT sum(output_tokens) FROM used), 0),
    booked.cost_nanos + coalesce((SELECT sum(cost_nanos) FROM used), 0)
  FROM ended, booked),
told AS (
  INSERT INTO audit_log (tenant_id, id, actor, action, target, result, address, request_id, detail)
  SELECT tenant_id, %(audit_id)s::uuid, coalesce(actor, 'system'), kind || '.ended',
    coalesce(CASE WHEN kind = 'pipeline' THEN agent ELSE 'agent/' || coalesce(%(agent)s, agent) END, model, ''), %(state)s,
    address, request_id,
    jsonb_build_object('job_id', id)
  FROM ended),
dropped AS (
  DELETE FROM checkpoints c USING ended WHERE ended.agent IS NOT NULL AND c.thread_id = {THREAD}),
dropped_blobs AS (
  DELETE FROM checkpoint_blobs c USING ended WHERE ended.agent IS NOT NULL AND c.thread_id = {THREAD}),
dropped_writes AS (
  DELETE FROM checkpoint_writes c USING ended WHERE ended.agent IS NOT NULL AND c.thread_id = {THREAD}),
silenced AS (
  DELETE FROM job_secrets WHERE tenant_id = %(tenant_id)s AND job_id = %(id)s AND EXISTS (SELECT 1 FROM ended))
SELECT ended.session_id, coalesce((SELECT sum(cost_nanos) FROM used), 0)::bigint + booked.cost_nanos AS cost_nanos,
  booked.input_tokens + booked.output_tokens AS booked_tokens, (
  SELECT 1 FROM jobs w WHERE w.tenant_id = ended.tenant_id AND w.queue = ended.queue AND w.state = 'queued'
    AND NOT w.parked ORDER BY w.priority, w.id LIMIT 1) IS NOT NULL AS more,
  CASE WHEN ended.of_batch OR ended.callback IS NULL AND NOT EXISTS (
    SELECT 1 FROM webhook_endpoints e WHERE e.tenant_id = ended.tenant_id AND e.enabled) THEN 0
  ELSE announce(ended.tenant_id, 'job.' || %(state)s, jsonb_build_object('job_id', ended.id, 'kind', ended.kind, 'state', %(state)s::text,
    'session_id', ended.session_id, 'agent', coalesce(%(agent)s, ended.agent), 'model', ended.model,
    'created_at', {CREATED}, 'started_at', {STARTED}, 'finished_at', {FINISHED}, 'usage', %(usage)s::jsonb, 'metadata', ended.metadata,
    'error', CASE WHEN %(error)s::jsonb IS NOT NULL THEN jsonb_build_object('code', %(error)s::jsonb ->> 'code') END),
    ended.kind, coalesce(%(agent)s, ended.agent), ended.callback, ended.user_id, ended.id, NULL) END AS deliveries
FROM ended, booked
