"""Answers that may be reused, found by the words of a question or by its vector.

An entry has the id of the job that gave the answer, and counts only while that job is there and has succeeded: what a killed
worker left behind, what was cancelled, and what its owner has deleted is never given again. The message that shows an answer
names its job, so feedback finds the entry by that. Where an answer was given again within a session, an entry of that job
stands as a repeat ({"repeats": ID of the first}), so that feedback on the repeat finds the first.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from schema.postgres.connections import Db, fetch_all, fetch_one
from schema.queries.documents.vector_spaces import to_pgvector

MAX_COMPARED = 2000
"""The newest entries of an agent whose vectors are compared; one by one, about 2 ms."""

ORIGINAL_ID = "coalesce((e.answer ->> 'repeats')::uuid, e.id)"
STILL_VALID = """f.config_version = %(version)s AND f.expires_at > now() AND f.answer ->> 'context' = %(context)s
  AND j.state = %(succeeded)s"""

EXACT = f"""
SELECT f.id, f.answer FROM cached_answers e
  JOIN cached_answers f ON f.tenant_id = e.tenant_id AND f.id = {ORIGINAL_ID}
  JOIN jobs j ON j.tenant_id = f.tenant_id AND j.id = f.id
WHERE e.tenant_id = %(tenant_id)s AND e.agent = %(agent)s AND e.scope = ANY(%(scopes)s) AND e.digest = %(digest)s
  AND {STILL_VALID}
ORDER BY f.id DESC LIMIT 1
"""
NEAREST = f"""
WITH newest AS MATERIALIZED (
  SELECT f.id, f.question, f.answer, f.embedding FROM cached_answers f
    JOIN jobs j ON j.tenant_id = f.tenant_id AND j.id = f.id
  WHERE f.tenant_id = %(tenant_id)s AND f.agent = %(agent)s AND f.scope = ANY(%(scopes)s) AND f.embedder = %(embedder)s
    AND NOT f.answer ? 'repeats' AND {STILL_VALID}
  ORDER BY f.id DESC LIMIT {MAX_COMPARED})
SELECT id, question, answer, 1 - (embedding <=> %(embedding)s::vector) AS score FROM newest
ORDER BY embedding <=> %(embedding)s::vector LIMIT %(limit)s
"""
ADD = """
INSERT INTO cached_answers (tenant_id, id, agent, scope, config_version, digest, question, embedder, embedding, answer,
  expires_at)
VALUES (%(tenant_id)s, %(id)s, %(agent)s, %(scope)s, %(version)s, %(digest)s, %(question)s, %(embedder)s,
  %(embedding)s::vector, %(answer)s::jsonb, now() + make_interval(secs => %(ttl_s)s))
ON CONFLICT (tenant_id, id) DO UPDATE SET scope = excluded.scope, config_version = excluded.config_version,
  embedder = excluded.embedder, embedding = excluded.embedding, answer = excluded.answer, expires_at = excluded.expires_at
"""
ADD_REPEAT = """
INSERT INTO cached_answers (tenant_id, id, agent, scope, config_version, digest, question, embedder, embedding, answer,
  expires_at)
SELECT tenant_id, %(id)s::uuid, agent, scope, config_version, %(digest)s, %(question)s, embedder, '[0]'::vector,
  jsonb_build_object('repeats', id), expires_at
FROM cached_answers WHERE tenant_id = %(tenant_id)s AND id = %(first)s
ON CONFLICT DO NOTHING
"""
# Other entries of the same question go too: two jobs that ran at the same time may both have kept theirs.
DELETE = f"""
WITH first AS MATERIALIZED (
  SELECT f.id, f.agent, f.scope, f.digest FROM cached_answers e
    JOIN cached_answers f ON f.tenant_id = e.tenant_id AND f.id = {ORIGINAL_ID}
  WHERE e.tenant_id = %(tenant_id)s AND e.id = %(id)s)
DELETE FROM cached_answers e USING first f
WHERE e.tenant_id = %(tenant_id)s AND e.agent = f.agent AND e.scope = f.scope
  AND (e.digest = f.digest OR {ORIGINAL_ID} = f.id)
RETURNING e.id
"""


class FoundAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An entry that still counts."""

    id: UUID
    answer: dict[str, Any]


class NearAnswer(FoundAnswer, frozen=True, kw_only=True):
    """An entry whose question is near; `score` is the cosine."""

    question: str
    score: float


async def find_exact(
    db: Db, tenant_id: UUID, *, agent: str, scopes: Sequence[str], version: str, context: str, digest: str
) -> FoundAnswer | None:
    """Return the newest entry for a question of these words that still counts."""
    values = _lookup_values(tenant_id, agent, scopes, version, context)
    return await fetch_one(db, EXACT, {**values, "digest": digest}, into=FoundAnswer)


async def list_nearest(
    db: Db,
    tenant_id: UUID,
    *,
    agent: str,
    scopes: Sequence[str],
    version: str,
    context: str,
    embedder: str,
    embedding: Sequence[float],
    limit: int,
) -> list[NearAnswer]:
    """Return the entries whose questions are nearest, best first."""
    values = _lookup_values(tenant_id, agent, scopes, version, context)
    values |= {"embedder": embedder, "embedding": to_pgvector(embedding), "limit": limit}
    return await fetch_all(db, NEAREST, values, into=NearAnswer)


def _lookup_values(tenant_id: UUID, agent: str, scopes: Sequence[str], version: str, context: str) -> dict[str, Any]:
    named = {"tenant_id": tenant_id, "agent": agent, "scopes": list(scopes), "version": version, "context": context}
    return {**named, "succeeded": "succeeded"}


async def add_answer(
    db: Db,
    tenant_id: UUID,
    job_id: UUID,
    *,
    agent: str,
    scope: str,
    version: str,
    digest: str,
    question: str,
    embedder: str,
    embedding: Sequence[float],
    answer: dict[str, Any],
    ttl_s: int,
) -> None:
    """Keep a job's answer for `ttl_s`; `answer` holds a `context`, which has to be the same when it is given again."""
    values = {"tenant_id": tenant_id, "id": job_id, "agent": agent, "scope": scope, "version": version}
    values |= {"digest": digest, "question": question, "embedder": embedder, "embedding": to_pgvector(embedding)}
    await db.execute(ADD, {**values, "answer": Jsonb(answer), "ttl_s": ttl_s})


async def add_repeat(db: Db, tenant_id: UUID, job_id: UUID, first: UUID, *, digest: str, question: str) -> None:
    """Note that a job gave the answer of the entry `first` again; from then on its own words find that too."""
    values = {"tenant_id": tenant_id, "id": job_id, "first": first, "digest": digest, "question": question}
    await db.execute(ADD_REPEAT, values)


async def delete_answer(db: Db, tenant_id: UUID, job_id: UUID) -> int:
    """Remove the entry that a job made or repeated, with all its repeats and others of the same question; how many went."""
    return len(await fetch_all(db, DELETE, {"tenant_id": tenant_id, "id": job_id}))
