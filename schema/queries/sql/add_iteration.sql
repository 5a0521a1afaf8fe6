-- Stores a measured call of a model and books its cost, if the attempt still holds the job and nobody has measured that place
-- before: else nothing happens. The job itself is counted with the first iteration of each model.
WITH held AS (
  SELECT tenant_id, id, user_id, actor FROM jobs
  WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND attempt = %(attempt)s AND state = %(from_state)s
    AND lease_owner = %(worker)s),
added AS (
  INSERT INTO benchmark_iterations (tenant_id, benchmark_id, place, model, number, prompt, attempt, started_at, first_token_ms,
    tokens_per_second, total_ms, input_tokens, output_tokens, estimated, cost_nanos, error)
  SELECT held.tenant_id, held.id, %(place)s::int, %(model)s, %(number)s::int, %(prompt)s::int, %(attempt)s::int,
    %(started_at)s::timestamptz, %(first_token_ms)s::float8, %(tokens_per_second)s::float8, %(total_ms)s::float8,
    %(input_tokens)s::bigint, %(output_tokens)s::bigint, %(estimated)s::bool,
    %(cost_nanos)s::bigint, %(error)s::jsonb
  FROM held
  ON CONFLICT DO NOTHING
  RETURNING tenant_id, number, model, input_tokens, output_tokens, cost_nanos),
used AS (
  INSERT INTO usage_records (tenant_id, id, day, user_id, agent, model, jobs, input_tokens, output_tokens, cost_nanos,
    own_key_input_tokens, own_key_output_tokens, key_id)
  SELECT a.tenant_id, %(usage_id)s::uuid, (now() AT TIME ZONE 'UTC')::date, held.user_id, '', a.model, (a.number = 1)::int,
    a.input_tokens, a.output_tokens, a.cost_nanos,
    CASE WHEN %(own_key)s::bool THEN a.input_tokens ELSE 0 END, CASE WHEN %(own_key)s::bool THEN a.output_tokens ELSE 0 END,
    CASE WHEN starts_with(held.actor, 'key:') THEN substr(held.actor, 5)::uuid END
  FROM added a, held)
SELECT cost_nanos FROM added
