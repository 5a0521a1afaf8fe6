"""documents: collections, what is in them, the chunks and vectors that are searched, and the bytes that are kept.

A migration runs while the old version serves: add nullable columns and indexes first, remove a release later. A table
with `tenant_id` gets forced row-level security in the same migration (`schema/migrations/security.py`).
"""

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import HALFVEC
from sqlalchemy.dialects import postgresql

from schema.migrations import security

revision = "0004"
down_revision = "0003"

OF_TENANTS = (
    *("collections", "documents", "document_versions", "chunk_drafts", "chunks", "chunk_vectors"),
    *("knowledge", "file_removals"),
)
OF_USERS = ("documents", "chunks", "chunk_vectors")

# Accents are dropped ("cong no" finds "công nợ") and words are stemmed as English ones are; the same is done to what is looked
# for. There are no stop words: "no" is one in English and, without its accent, "debt" in Vietnamese. Ranking weighs rare words.
WORDS_CONFIG = """
CREATE TEXT SEARCH DICTIONARY headrace_stem (TEMPLATE = snowball, Language = english);
CREATE TEXT SEARCH CONFIGURATION headrace (COPY = simple);
ALTER TEXT SEARCH CONFIGURATION headrace
  ALTER MAPPING FOR asciiword, word, numword, asciihword, hword, numhword, hword_asciipart, hword_part, hword_numpart
  WITH unaccent, headrace_stem;
"""
WORDS = (
    "setweight(to_tsvector('public.headrace'::regconfig, heading), 'A'::\"char\") "
    "|| to_tsvector('public.headrace'::regconfig, text)"
)

# HNSW wants vectors of one length, and vectors of two models can't be compared: each space is a partition. Within it tenants
# are spread over eight indexes, so that a filter by tenant leaves more of what an index finds. Only the owner may make
# tables, so workers call this when they meet a model for the first time.
OPEN_SPACE = """
CREATE FUNCTION open_vector_space(wanted text, wanted_dimensions integer) RETURNS smallint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  known vector_spaces;
  part text;
BEGIN
  SELECT * INTO known FROM vector_spaces WHERE name = wanted;
  IF known.id IS NULL THEN
    PERFORM pg_advisory_xact_lock(hashtext('headrace vector spaces'));
    SELECT * INTO known FROM vector_spaces WHERE name = wanted;
  END IF;
  IF known.id IS NULL THEN
    IF length(wanted) > 200 OR wanted_dimensions NOT BETWEEN 1 AND 4000 OR (SELECT count(*) FROM vector_spaces) >= 100 THEN
      RAISE EXCEPTION 'no vector space can be opened for %, % dimensions', wanted, wanted_dimensions
        USING ERRCODE = 'HR010';
    END IF;
    INSERT INTO vector_spaces (id, name, dimensions)
      SELECT coalesce(max(id), 0) + 1, wanted, wanted_dimensions FROM vector_spaces RETURNING * INTO known;
    part := 'chunk_vectors_' || known.id;
    EXECUTE format('CREATE TABLE %I PARTITION OF chunk_vectors FOR VALUES IN (%s) PARTITION BY HASH (tenant_id)',
      part, known.id);
    FOR n IN 0..7 LOOP
      EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES WITH (MODULUS 8, REMAINDER %s)', part || '_' || n, part, n);
      EXECUTE format('CREATE INDEX ON %I USING hnsw ((embedding::halfvec(%s)) halfvec_cosine_ops)',
        part || '_' || n, known.dimensions);
      EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', part || '_' || n);
    END LOOP;
  ELSIF known.dimensions <> wanted_dimensions THEN
    RAISE EXCEPTION 'vectors of % have % dimensions, not %', wanted, known.dimensions, wanted_dimensions
      USING ERRCODE = 'HR010';
  END IF;
  RETURN known.id;
END $$;
"""

# `@@` is not leakproof, so under row-level security no index would be used for it. These functions see all rows and confine
# themselves, with the same words as the policies.
COUNT_WORDS = """
CREATE FUNCTION count_words(wanted tsquery[], reader uuid, most integer) RETURNS integer[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT array_agg((
      SELECT count(*)::integer FROM (
        SELECT 1 FROM chunks c WHERE c.tenant_id = headrace_tenant() AND c.words @@ w.word
          AND (c.user_id IS NULL OR c.user_id = reader)
          AND ((SELECT headrace_user()) IS NULL OR c.user_id IS NULL OR c.user_id = (SELECT headrace_user()))
        LIMIT most) AS found)
    ORDER BY w.place)
  FROM unnest(wanted) WITH ORDINALITY AS w (word, place)
$$;
"""
FIND_WORDS = """
CREATE FUNCTION find_words(any_of tsquery, wanted tsquery[], weights real[], reader uuid, in_collections uuid[],
  in_documents uuid[], ranked integer, most integer) RETURNS TABLE (chunk_id uuid, score real)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT c.id, (SELECT sum(weights[i] * ts_rank('{0.1, 0.1, 0.1, 0.2}', c.words, wanted[i]))
    FROM generate_subscripts(wanted, 1) AS i)::real AS score
  FROM (SELECT x.id, x.words FROM chunks x
    WHERE x.tenant_id = headrace_tenant() AND x.words @@ any_of
      AND (x.user_id IS NULL OR x.user_id = reader)
      AND ((SELECT headrace_user()) IS NULL OR x.user_id IS NULL OR x.user_id = (SELECT headrace_user()))
      AND (in_collections IS NULL OR x.collection_id = ANY (in_collections))
      AND (in_documents IS NULL OR x.document_id = ANY (in_documents))
    LIMIT ranked) AS c
  ORDER BY score DESC, c.id LIMIT most
$$;
"""

# Bytes are counted against the tenant's storage while a version refers to them; when it goes, they are noted for removal.
VERSION_COUNTED = """
CREATE FUNCTION version_counted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO knowledge AS k (tenant_id, stored_bytes) VALUES (NEW.tenant_id, NEW.size_bytes)
      ON CONFLICT (tenant_id) DO UPDATE SET stored_bytes = k.stored_bytes + excluded.stored_bytes;
  ELSE
    UPDATE knowledge SET stored_bytes = stored_bytes - OLD.size_bytes WHERE tenant_id = OLD.tenant_id;
    INSERT INTO file_removals (tenant_id, stored_as, due_at) VALUES (OLD.tenant_id, OLD.stored_as, now())
      ON CONFLICT DO NOTHING;
  END IF;
  RETURN NULL;
END $$;
"""
DOCUMENT_COUNTED = """
CREATE FUNCTION document_counted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO knowledge AS k (tenant_id, documents, chunks) VALUES (NEW.tenant_id, 1, NEW.chunks)
      ON CONFLICT (tenant_id) DO UPDATE SET documents = k.documents + 1, chunks = k.chunks + NEW.chunks;
  ELSIF TG_OP = 'DELETE' THEN
    UPDATE knowledge SET documents = documents - 1, chunks = chunks - OLD.chunks, version = version + 1
      WHERE tenant_id = OLD.tenant_id;
  ELSIF NEW.live_version IS DISTINCT FROM OLD.live_version OR NEW.chunks <> OLD.chunks
    OR NEW.metadata <> OLD.metadata OR NEW.name <> OLD.name THEN
    UPDATE knowledge SET chunks = chunks + NEW.chunks - OLD.chunks, version = version + 1
      WHERE tenant_id = NEW.tenant_id;
  END IF;
  RETURN NULL;
END $$;
"""

# However a job of ingestion ends, or whoever takes it up again: what it had not finished says so in the same transaction.
INGESTION_MOVED = """
CREATE FUNCTION ingestion_moved() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF NEW.state IN ('succeeded', 'failed', 'cancelled') THEN
    UPDATE document_versions SET state = CASE NEW.state WHEN 'cancelled' THEN 'cancelled' ELSE 'failed' END,
      error = CASE NEW.state WHEN 'cancelled' THEN NULL ELSE NEW.error END, finished_at = now()
    WHERE tenant_id = NEW.tenant_id AND job_id = NEW.id AND state IN ('queued', 'running');
  ELSIF NEW.state = 'queued' AND OLD.state IN ('failed', 'cancelled') THEN
    UPDATE document_versions SET state = 'queued', error = NULL, finished_at = NULL, tries = 0
    WHERE tenant_id = NEW.tenant_id AND job_id = NEW.id AND state IN ('failed', 'cancelled');
  ELSIF NEW.state = 'queued' THEN
    UPDATE document_versions SET state = 'queued'
    WHERE tenant_id = NEW.tenant_id AND job_id = NEW.id AND state = 'running';
  END IF;
  RETURN NULL;
END $$;
"""

# Whatever row-level security shows: what a tenant waits for is its own jobs, everybody's.
COUNT_IN_QUEUE = """
CREATE FUNCTION count_in_queue(wanted uuid, wanted_queue text) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT count(*) FROM jobs j WHERE j.tenant_id = wanted AND j.queue = wanted_queue AND j.state IN ('dispatched', 'running')
$$;
"""


def upgrade() -> None:
    for extension in ("unaccent", "btree_gin"):
        op.execute(f"CREATE EXTENSION IF NOT EXISTS {extension}")
    op.execute(WORDS_CONFIG)
    op.create_table(
        "file_removals",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("stored_as", sa.String(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "stored_as"),
    )
    op.create_index("file_removals_due", "file_removals", ["due_at"], unique=False)
    op.create_table(
        "vector_spaces",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("dimensions", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "collections",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String(), server_default=sa.text("''"), nullable=False),
        sa.Column("chunk_characters", sa.Integer(), nullable=False),
        sa.Column("chunk_overlap", sa.Integer(), nullable=False),
        sa.Column("embedder", sa.String(), nullable=False),
        sa.Column("space", sa.SmallInteger(), nullable=True),
        sa.Column("next_embedder", sa.String(), nullable=True),
        sa.Column("next_space", sa.SmallInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("created_by", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["next_space"],
            ["vector_spaces.id"],
        ),
        sa.ForeignKeyConstraint(
            ["space"],
            ["vector_spaces.id"],
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
    )
    op.create_index("collections_name", "collections", ["tenant_id", "name"], unique=True)
    op.create_table(
        "knowledge",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("stored_bytes", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("documents", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("chunks", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id"),
    )
    op.create_table(
        "documents",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("collection_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("title", sa.String(), server_default=sa.text("''"), nullable=False),
        sa.Column("language", sa.String(), nullable=True),
        sa.Column("metadata", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("source_url", sa.String(), nullable=True),
        sa.Column("newest_version", sa.Integer(), nullable=False),
        sa.Column("live_version", sa.Integer(), nullable=True),
        sa.Column("pages", sa.Integer(), nullable=True),
        sa.Column("characters", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("chunks", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("created_by", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "collection_id"], ["collections.tenant_id", "collections.id"], ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["tenant_id", "user_id"], ["users.tenant_id", "users.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
    )
    op.create_index(
        "documents_name",
        "documents",
        [
            "tenant_id",
            "collection_id",
            "name",
            sa.literal_column("coalesce(user_id, '00000000-0000-0000-0000-000000000000'::uuid)"),
        ],
        unique=True,
    )
    op.create_index(
        "documents_of_user",
        "documents",
        ["tenant_id", "user_id"],
        unique=False,
        postgresql_where=sa.text("user_id IS NOT NULL"),
    )
    op.create_table(
        "chunks",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("collection_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("heading", sa.String(), nullable=False),
        sa.Column("page", sa.Integer(), nullable=True),
        sa.Column("page_end", sa.Integer(), nullable=True),
        sa.Column("start", sa.Integer(), nullable=False),
        sa.Column("stop", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("words", postgresql.TSVECTOR(), sa.Computed(WORDS, persisted=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "document_id"], ["documents.tenant_id", "documents.id"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
    )
    op.create_index("chunks_digest", "chunks", ["tenant_id", "digest"], unique=False)
    op.create_index("chunks_of_document", "chunks", ["tenant_id", "document_id", "place"], unique=False)
    op.create_index("chunks_words", "chunks", ["tenant_id", "words"], unique=False, postgresql_using="gin")
    op.create_table(
        "document_versions",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=True),
        sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("stored_as", sa.String(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("media_type", sa.String(), nullable=False),
        sa.Column("error", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("notes", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("chunks", sa.Integer(), nullable=True),
        sa.Column("drafted", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("embedded", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('queued', 'running', 'ready', 'failed', 'cancelled')", name="versions_state"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "document_id"], ["documents.tenant_id", "documents.id"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "document_id", "version"),
    )
    op.create_index("document_versions_job", "document_versions", ["tenant_id", "job_id", "state"], unique=False)
    op.create_index(
        "document_versions_running",
        "document_versions",
        ["tenant_id", "sha256"],
        unique=False,
        postgresql_where=sa.text("state = 'running'"),
    )
    op.create_table(
        "chunk_drafts",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("heading", sa.String(), nullable=False),
        sa.Column("page", sa.Integer(), nullable=True),
        sa.Column("page_end", sa.Integer(), nullable=True),
        sa.Column("start", sa.Integer(), nullable=False),
        sa.Column("stop", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("space", sa.SmallInteger(), nullable=False),
        sa.Column("embedding", HALFVEC(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "document_id", "version"],
            ["document_versions.tenant_id", "document_versions.document_id", "document_versions.version"],
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "document_id", "version", "place"),
    )
    op.create_index("chunk_drafts_digest", "chunk_drafts", ["tenant_id", "digest"], unique=False)
    op.create_table(
        "chunk_vectors",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("chunk_id", sa.Uuid(), nullable=False),
        sa.Column("space", sa.SmallInteger(), nullable=False),
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("collection_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("embedding", HALFVEC(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id", "chunk_id"], ["chunks.tenant_id", "chunks.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "chunk_id", "space"),
        postgresql_partition_by="LIST (space)",
    )
    op.create_index("chunk_vectors_of_collection", "chunk_vectors", ["tenant_id", "collection_id"], unique=False)
    op.create_index("chunk_vectors_of_document", "chunk_vectors", ["tenant_id", "document_id"], unique=False)
    op.drop_index("cached_answers_message", "cached_answers")  # no version has read or written these
    op.drop_column("cached_answers", "message_id")
    op.drop_column("pipelines", "enabled")
    for table in OF_TENANTS:
        op.execute(security.isolate(table))
        op.execute(security.open_to_owner(table))
    for table in OF_USERS:
        op.execute(security.share_with_user(table))
    op.execute("GRANT SELECT ON vector_spaces TO headrace_app, headrace_system")
    op.execute(security.open_to_system("file_removals", rights="SELECT, DELETE"))
    for function in (OPEN_SPACE, COUNT_WORDS, FIND_WORDS, VERSION_COUNTED, DOCUMENT_COUNTED, INGESTION_MOVED):
        op.execute(function)
    op.execute(security.as_system(COUNT_IN_QUEUE, "count_in_queue(uuid, text)"))
    for signature in (
        "open_vector_space(text, integer)",
        "count_words(tsquery[], uuid, integer)",
        "find_words(tsquery, tsquery[], real[], uuid, uuid[], uuid[], integer, integer)",
    ):
        op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {signature} TO headrace_app")
    op.execute(
        "CREATE TRIGGER version_counted AFTER INSERT OR DELETE ON document_versions "
        "FOR EACH ROW EXECUTE FUNCTION version_counted()"
    )
    op.execute(
        "CREATE TRIGGER document_counted AFTER INSERT OR UPDATE OR DELETE ON documents "
        "FOR EACH ROW EXECUTE FUNCTION document_counted()"
    )
    op.execute(
        "CREATE TRIGGER ingestion_moved AFTER UPDATE OF state ON jobs FOR EACH ROW "
        "WHEN (NEW.kind = 'ingestion' AND NEW.state <> OLD.state) EXECUTE FUNCTION ingestion_moved()"
    )


def downgrade() -> None:
    raise NotImplementedError("the documents would be lost: restore a backup instead")
