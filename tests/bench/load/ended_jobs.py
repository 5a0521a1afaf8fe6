"""Very many ended jobs of some years of use, put straight into the tables of a database of their own: with their sessions,
messages, attempts, logs, usage and audit rows, and what grows beside them: documents, files, deliveries, runs of a schedule.

There are always as many a day, so that more of them mean a longer past. One tenant has four fifths of them. What the
scheduler does by the minute is done by its own statements afterwards: usage is merged, what has ended is counted. Indexes
that no key needs are made when the rows are there, which takes a fraction of the time.

A past of more than MAX_WITH_ALL jobs has only what grows with each of them, and its usage is merged as it is made.
"""

import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

from schema.ids import new_id
from schema.installation.bootstrap import ensure_tenant
from schema.installation.migrate import migrate
from schema.postgres.connections import pool_for, system_tx, tenant_tx
from schema.queries.tenants.retention import merge_usage
from schema.queries.tenants.tallies import list_tenants_to_tally, tally
from tests.bench.profiling.plans import GROWING

SHARES = (0.8, 0.05, 0.05, 0.05, 0.05)
USERS = 50
PER_DAY = 10_000
STATES = "CASE WHEN n %% 40 = 0 THEN 'failed' WHEN n %% 101 = 0 THEN 'cancelled' ELSE 'succeeded' END"
KINDS = "CASE WHEN n %% 100 = 50 THEN 'benchmark' WHEN n %% 50 = 0 THEN 'pipeline' ELSE 'chat' END"

# `n` counts backwards from now; five jobs make a session.
MADE = f"""
CREATE TEMP TABLE made AS
SELECT n, uuidv7(-age) AS id, uuidv7(-age) AS question_id, uuidv7(-age) AS answer_id, now() - age AS at, {STATES} AS state,
  {KINDS} AS kind, n / 5 AS place, 5 - n %% 5 AS turn, (%(users)s::uuid[])[1 + (n / 5) %% {USERS}] AS user_id,
  CASE WHEN n %% 3 = 0 THEN 'openai/large' ELSE 'openai/small' END AS model
FROM generate_series(1, %(jobs)s) AS n, make_interval(secs => n * %(apart_s)s + 600) AS age
"""
MADE_SESSIONS = """
CREATE TEMP TABLE made_sessions AS
SELECT place, min(id::text)::uuid AS id, min(at) AS began, max(at) AS at, min(user_id::text)::uuid AS user_id
FROM made GROUP BY place
"""
SESSIONS = """
INSERT INTO sessions (tenant_id, id, title, turns, created_at, updated_at, user_id)
SELECT %(tenant)s, id, 'A question', 5, began, at, user_id FROM made_sessions
"""
JOBS = """
INSERT INTO jobs (tenant_id, id, kind, queue, state, priority, session_id, turn, model, payload, result, run_at, deadline_at,
  attempt, tries, max_tries, dispatch_seq, dispatched_at, created_at, started_at, finished_at, user_id, actor, address)
SELECT %(tenant)s, m.id, m.kind, 'chat', m.state, 5, s.id, m.turn, m.model, '{"temperature": 0.2, "max_tokens": 800}',
  '{"finish_reason": "stop", "usage": {"input_tokens": 420, "output_tokens": 100}}', m.at, m.at + interval '5 minutes',
  1, 1, 3, 1, m.at, m.at, m.at + interval '10 ms', m.at + interval '2 s', m.user_id, 'user:' || m.user_id, '203.0.113.7'
FROM made m JOIN made_sessions s ON s.place = m.place ORDER BY m.n DESC
"""
MESSAGES = """
INSERT INTO messages (tenant_id, id, session_id, job_id, turn, ordinal, role, parts, created_at)
SELECT %(tenant)s, CASE ordinal WHEN 0 THEN m.question_id ELSE m.answer_id END, s.id, m.id, m.turn, ordinal,
  (ARRAY['user', 'assistant'])[ordinal + 1], %(parts)s::jsonb, m.at
FROM made m JOIN made_sessions s ON s.place = m.place, generate_series(0, 1) AS ordinal ORDER BY m.n DESC, ordinal
"""
ATTEMPTS = """
INSERT INTO attempts (tenant_id, job_id, attempt, worker, started_at, ended_at, outcome)
SELECT %(tenant)s, id, 1, 'host/1/1', at, at, state FROM made ORDER BY n DESC
"""
LOGS = """
INSERT INTO job_logs (tenant_id, job_id, last_seq, frames) SELECT %(tenant)s, id, 12, '\\x00' FROM made ORDER BY n DESC
"""
AUDIT = """
INSERT INTO audit_log (tenant_id, id, at, actor, action, target, result, address, detail)
SELECT %(tenant)s, uuidv7(at - now()), at, 'user:' || user_id, kind || '.ended', model, state, '203.0.113.7',
  jsonb_build_object('job_id', id)
FROM made ORDER BY n DESC
"""
USAGE = """
INSERT INTO usage_records (tenant_id, id, day, user_id, agent, model, jobs, input_tokens, output_tokens, cost_nanos)
SELECT %(tenant)s, uuidv7(at - now()), (at AT TIME ZONE 'UTC')::date, user_id, '', model, 1, 420, 100, 15000
FROM made ORDER BY n DESC
"""
# Of the rest there is a row for every fourth job, or for fewer.
COLLECTIONS = """
INSERT INTO collections (tenant_id, id, name, chunk_characters, chunk_overlap, embedder)
SELECT %(tenant)s, id, name, 1200, 150, 'minilm' FROM unnest(%(collections)s::uuid[], '{most,few}'::text[]) AS c (id, name)
"""
DOCUMENTS = """
INSERT INTO documents (tenant_id, id, collection_id, user_id, name, metadata, newest_version, live_version, chunks, created_by)
SELECT %(tenant)s, id, (%(collections)s::uuid[])[CASE WHEN n %% 800 = 0 THEN 2 ELSE 1 END],
  CASE WHEN n %% 200 = 0 THEN user_id END, n || '.pdf', '{}', 1, 1, 10, 'user:' || user_id
FROM made WHERE n %% 4 = 0 ORDER BY n DESC
"""
VERSIONS = """
INSERT INTO document_versions (tenant_id, document_id, version, job_id, place, state, stored_as, size_bytes, sha256, media_type,
  created_at, finished_at)
SELECT %(tenant)s, id, 1, id, 0, CASE WHEN n %% 400 = 0 THEN 'failed' ELSE 'ready' END, 'a/' || n, 1000, '\\x00',
  'application/pdf', at, at
FROM made WHERE n %% 4 = 0 ORDER BY n DESC
"""
FILES = """
INSERT INTO files (tenant_id, id, user_id, name, purpose, media_type, size_bytes, sha256, stored_as, created_at)
SELECT %(tenant)s, id, user_id, n || '.jsonl', CASE WHEN n %% 400 = 0 THEN 'batch' ELSE 'user_data' END, 'text/plain', 1000,
  '\\x00', 'b/' || n, at
FROM made WHERE n %% 4 = 0 ORDER BY n DESC
"""
ENDPOINTS = """
INSERT INTO webhook_endpoints (tenant_id, id, url, events, key_id, sealed)
SELECT %(tenant)s, id, 'https://example.com', '["job.*"]', 'none', '\\x00' FROM unnest(%(endpoints)s::uuid[]) AS id
"""
DELIVERIES = """
INSERT INTO webhook_deliveries (tenant_id, id, event_id, endpoint_id, lane, type, occurred_at, sequence, job_id, data, state,
  attempt, tries, last_status, created_at, ended_at)
SELECT %(tenant)s, id, id, (%(endpoints)s::uuid[])[CASE WHEN n %% 800 = 0 THEN 2 ELSE 1 END], 'a', 'job.' || state, at, n, id,
  '{}', CASE WHEN n %% 400 = 0 THEN 'exhausted' ELSE 'delivered' END, 1, 1, 200, at, at
FROM made WHERE n %% 4 = 0 ORDER BY n DESC
"""
SCHEDULES = """
INSERT INTO schedules (tenant_id, id, name, created_by, issuer, kind, job, compiled, cron, timezone, on_missed, on_overlap,
  session, state)
SELECT %(tenant)s, %(schedule)s, 'hourly', 'system', '', 'chat', '{}', '{}', '0 * * * *', 'UTC', 'skip', 'skip', 'new', 'paused'
"""
RUNS = """
INSERT INTO schedule_runs (tenant_id, schedule_id, due_at, outcome, job_id)
SELECT %(tenant)s, %(schedule)s, at, 'started', id FROM made WHERE n %% 50 = 0 ORDER BY n DESC
"""
BENCHMARKS = """
INSERT INTO benchmarks (tenant_id, id, user_id, models, settings, total, created_at)
SELECT %(tenant)s, id, user_id, jsonb_build_array(model), '{}', 1, at FROM made WHERE kind = 'benchmark' ORDER BY n DESC
"""
RESULTS = """
INSERT INTO benchmark_results (tenant_id, benchmark_id, model, figures, created_at)
SELECT %(tenant)s, id, model, '{}', at FROM made WHERE kind = 'benchmark' ORDER BY n DESC
"""
MERGED = """
INSERT INTO usage_records (tenant_id, id, day, user_id, agent, model, jobs, input_tokens, output_tokens, cost_nanos, merged)
SELECT %(tenant)s, gen_random_uuid(), (at AT TIME ZONE 'UTC')::date, user_id, '', model, count(*), 420 * count(*),
  100 * count(*), 15000 * count(*), true
FROM made GROUP BY 3, 4, 6
"""
DAYS = """
INSERT INTO usage_days (tenant_id, day, jobs, input_tokens, output_tokens, cost_nanos, own_key_input_tokens,
  own_key_output_tokens)
SELECT %(tenant)s, (at AT TIME ZONE 'UTC')::date, count(*), 420 * count(*), 100 * count(*), 15000 * count(*), 0, 0
FROM made GROUP BY 2
"""
MAX_WITH_ALL = 2_000_000
CORE = (MADE, MADE_SESSIONS, SESSIONS, JOBS, MESSAGES, ATTEMPTS, LOGS, AUDIT)
OTHERS = (
    *(USAGE, COLLECTIONS, DOCUMENTS, VERSIONS, FILES, ENDPOINTS, DELIVERIES, SCHEDULES, RUNS, BENCHMARKS, RESULTS),
)


INDEXES = """
SELECT c.relname, pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = ANY (SELECT t.oid FROM pg_class t WHERE t.relname = ANY (%s) AND t.relnamespace = 'public'::regnamespace)
  AND NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = i.indexrelid) ORDER BY 1
"""


@dataclass(frozen=True)
class Past:
    """A database with so many ended jobs. `tenant_id` is the large one, and the others are of it: one of its users, its
    schedule, and the collection and the endpoint of which there is little; `url` is the owner's."""

    url: str
    jobs: int
    load_s: float
    tenant_id: UUID
    user_id: UUID
    collection_id: UUID
    endpoint_id: UUID
    schedule_id: UUID

    @property
    def name(self) -> str:
        """The name of the database."""
        return self.url.rpartition("/")[2]


async def create_past(server_url: str, jobs: int) -> Past:
    """Make a database with so many ended jobs; `server_url` is the owner's of any database there."""
    name, began = f"past_{jobs}_{time.monotonic_ns()}", time.monotonic()
    with psycopg.connect(server_url, autocommit=True) as db:
        db.execute(f'CREATE DATABASE "{name}"')
    url = f"{server_url.rsplit('/', 1)[0]}/{name}"
    migrate(url)
    later = _drop_indexes(url)
    tenants = [add_tenant(url, f"past-{place}", round(jobs * share), share) for place, share in enumerate(SHARES)]
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("SET maintenance_work_mem = '256MB'")
        for index in later:
            db.execute(index)
        db.execute("VACUUM ANALYZE")
    await _settle(url)
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("VACUUM ANALYZE")
    return Past(url, jobs, time.monotonic() - began, *tenants[0])


def _drop_indexes(url: str) -> list[str]:
    """Drop the indexes of the tables that grow, but for those of keys; return the statements that make them again."""
    with psycopg.connect(url) as db:
        found = db.execute(INDEXES, (list(GROWING),)).fetchall()
        for name, _ in found:
            db.execute(f'DROP INDEX "{name}"')
    return [made for _, made in found]


def drop_past(past: Past) -> None:
    """Remove the database."""
    with psycopg.connect(f"{past.url.rpartition('/')[0]}/postgres", autocommit=True) as db:
        db.execute(f'DROP DATABASE "{past.name}" WITH (FORCE)')


def add_tenant(url: str, slug: str, jobs: int, share: float) -> tuple[UUID, UUID, UUID, UUID, UUID]:
    """Make a tenant with its past; return its id and those that `Past` names."""
    users, (schedule, *pairs) = [new_id() for _ in range(USERS)], [new_id() for _ in range(5)]
    collections, endpoints = pairs[:2], pairs[2:]
    with psycopg.connect(url) as db:
        tenant_id = ensure_tenant(db, slug, slug)
        add_user = "INSERT INTO users (tenant_id, id, email, name, role) VALUES (%s, %s, %s, 'A user', 'member')"
        for place, user_id in enumerate(users):
            db.execute(add_user, (tenant_id, user_id, f"{place}@example.com"))
        db.execute(
            "SET LOCAL session_replication_role = replica"
        )  # nobody else is here: rows are not checked, nor counted
        values: dict[str, Any] = {
            "tenant": tenant_id,
            "users": users,
            "jobs": jobs,
            "apart_s": 86_400 / PER_DAY / share,
            "collections": collections,
            "endpoints": endpoints,
            "schedule": schedule,
        }
        values["parts"] = '[{"type": "text", "text": "What was said here is as long as a short sentence usually is."}]'
        for sql in (*CORE, *(OTHERS if jobs <= MAX_WITH_ALL * share else (MERGED, DAYS))):
            db.execute(sql, values)
        db.execute("DROP TABLE made, made_sessions")
    return tenant_id, users[7], collections[1], endpoints[1], schedule


async def _settle(url: str) -> None:
    """Do what the scheduler has done by then."""
    async with (
        pool_for(url, "headrace_system", max_size=1) as system,
        pool_for(url, "headrace_app", max_size=1) as pool,
    ):
        merged = 1
        while merged:
            async with system_tx(system) as db:
                merged = await merge_usage(db)
        async with system_tx(system) as db:
            tenants = await list_tenants_to_tally(db)
        for tenant_id in tenants:
            more = True
            while more:
                async with tenant_tx(pool, tenant_id) as db:
                    more = await tally(db, tenant_id)
