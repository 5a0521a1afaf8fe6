"""Very many tenants whose jobs wait, put straight into the tables of a database of their own: one tenant has flooded, nine have
much to do, all others a little."""

import time
from dataclasses import dataclass

import psycopg

from schema.installation.migrate import migrate

FLOOD, MUCH, LITTLE = 10_000, 1000, 10
TENANTS = """
INSERT INTO tenants (id, slug, name, max_running)
SELECT uuidv7(), 'waiting-' || n, 'Waiting ' || n, 100 FROM generate_series(1, %s) AS n
"""
JOBS = f"""
INSERT INTO jobs (tenant_id, id, kind, queue, state, priority, payload, run_at, deadline_at, max_tries, created_at)
SELECT t.id, uuidv7(), 'chat', 'chat', 'queued', 5, '{{}}', now(), now() + interval '1 day', 3, now()
FROM (SELECT id, row_number() OVER (ORDER BY id) AS place FROM tenants) AS t,
  generate_series(1, CASE WHEN place = 1 THEN {FLOOD} WHEN place <= 10 THEN {MUCH} ELSE {LITTLE} END) AS k
ORDER BY k > {LITTLE} DESC, random()
"""  # those of the flood are the oldest


@dataclass(frozen=True)
class Backlog:
    """A database, by its owner's URL, with so many jobs that wait."""

    url: str
    tenants: int
    jobs: int


def create_backlog(server_url: str, tenants: int) -> Backlog:
    """Make a database with so many tenants and their jobs."""
    name = f"backlog_{tenants}_{time.monotonic_ns()}"
    with psycopg.connect(server_url, autocommit=True) as db:
        db.execute(f'CREATE DATABASE "{name}"')
    url = f"{server_url.rsplit('/', 1)[0]}/{name}"
    migrate(url)
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(TENANTS, (tenants,))
        jobs = db.execute(JOBS).rowcount
        db.execute("ANALYZE jobs, tenants")
    return Backlog(url, tenants, jobs)


def drop_backlog(backlog: Backlog) -> None:
    """Remove the database."""
    server, _, name = backlog.url.rpartition("/")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as db:
        db.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
