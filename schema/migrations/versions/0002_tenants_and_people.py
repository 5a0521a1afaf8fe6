"""tenants and people: users, sign-ins, grants, credentials, limits, usage, the audit log.

A migration runs while the old version serves: add nullable columns and indexes first, remove a release later. A table
with `tenant_id` gets forced row-level security in the same migration (`schema/migrations/security.py`).
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from schema.migrations import security

revision = "0002"
down_revision = "0001"

ALL = "SELECT, INSERT, UPDATE, DELETE"
RIGHTS = {
    "users": ALL,
    "logins": ALL,
    "refresh_tokens": ALL,
    "identity_providers": ALL,
    "grants": ALL,
    "credentials": ALL,
    "job_secrets": ALL,
    "usage_records": "SELECT, INSERT, UPDATE (user_id)",  # what was used stays, even when it is nobody's any more
    "audit_log": "SELECT, INSERT",  # append-only: only the sweeper takes away, and only what is old
}

# Tenant nobody: whom the installation itself belongs to, its admins and what they did.
PLATFORM = """
INSERT INTO tenants (id, slug, name) VALUES ('00000000-0000-0000-0000-000000000000', 'platform', 'Platform')
"""

# All that a request must know of its tenant, in one look-up that is kept for a second.
TENANT_FACTS = """
CREATE FUNCTION tenant_facts(wanted uuid) RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT jsonb_build_object(
    'id', t.id, 'slug', t.slug, 'state', t.state, 'default_model', t.default_model,
    'requests_per_minute', t.requests_per_minute, 'tokens_per_minute', t.tokens_per_minute,
    'budget_day_nanos', t.budget_day_nanos, 'budget_month_nanos', t.budget_month_nanos,
    'budget_warn_percent', t.budget_warn_percent,
    'models', (SELECT coalesce(jsonb_agg(g.name ORDER BY g.name), '[]') FROM grants g
      WHERE g.tenant_id = wanted AND g.kind = 'model'),
    'services', (SELECT coalesce(jsonb_agg(c.service ORDER BY c.service), '[]') FROM credentials c
      WHERE c.tenant_id = wanted))
  FROM tenants t WHERE t.id = wanted
$$;
"""

# A key is looked up before its tenant is known. The first migration's `find_api_key` goes a release later.
FIND_KEY = """
CREATE FUNCTION find_key(wanted text)
RETURNS TABLE (tenant_id uuid, id uuid, digest text, role text, scopes jsonb, expires_at timestamptz,
  revoked_at timestamptz, user_id uuid, user_role text, user_state text, facts jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT k.tenant_id, k.id, k.digest, k.role, k.scopes, k.expires_at, k.revoked_at, k.user_id, u.role, u.state,
    tenant_facts(k.tenant_id)
  FROM api_keys k LEFT JOIN users u ON u.tenant_id = k.tenant_id AND u.id = k.user_id
  WHERE k.find = wanted
$$;
"""

TOUCH_KEYS = """
CREATE FUNCTION touch_keys(tenants uuid[], ids uuid[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
  UPDATE api_keys k SET last_used_at = now() FROM unnest(tenants, ids) AS used (tenant_id, id)
  WHERE k.tenant_id = used.tenant_id AND k.id = used.id
$$;
"""

# So is the tenant of a token that somebody else issued.
FIND_IDENTITY_PROVIDERS = """
CREATE FUNCTION find_identity_providers(wanted text)
RETURNS TABLE (tenant_id uuid, id uuid, issuer text, audience text, jwks_url text, role text, role_claim text,
  sign_up boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT p.tenant_id, p.id, p.issuer, p.audience, p.jwks_url, p.role, p.role_claim, p.sign_up
  FROM identity_providers p WHERE p.issuer = wanted
$$;
"""

# Why a job waits may be what others of its tenant run, which a user who sees only their own can't count.
COUNT_IN_FLIGHT = """
CREATE FUNCTION count_in_flight(wanted uuid) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT count(*) FROM jobs j WHERE j.tenant_id = wanted AND j.state IN ('dispatched', 'running')
$$;
"""

# The tenant of a sign-in is named by its slug.
FIND_TENANT_ID = """
CREATE FUNCTION find_tenant_id(wanted text) RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT t.id FROM tenants t WHERE t.slug = wanted
$$;
"""

# Which keys secrets are sealed with, for a process that starts: it must know them all.
SEALED_WITH = """
CREATE FUNCTION sealed_with() RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT key_id FROM credentials UNION SELECT key_id FROM identity_providers WHERE key_id IS NOT NULL
  UNION SELECT key_id FROM job_secrets UNION SELECT key_id FROM signing_keys
$$;
"""

# The admin's list. The tenants' own rows are all that it shows.
LIST_TENANTS = """
CREATE FUNCTION list_tenants(after text, most integer, wanted_state text, search text) RETURNS SETOF tenants
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT t.* FROM tenants t
  WHERE t.slug > after AND t.slug <> 'platform' AND (wanted_state IS NULL OR t.state = wanted_state)
    AND (search IS NULL OR strpos(lower(t.slug || ' ' || t.name), lower(search)) > 0)
  ORDER BY t.slug LIMIT most
$$;
"""


def upgrade() -> None:
    op.create_table(
        "audit_log",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("target", sa.String(), server_default=sa.text("''"), nullable=False),
        sa.Column("result", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=True),
        sa.Column("request_id", sa.String(), nullable=True),
        sa.Column("detail", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
    )
    op.create_index("audit_log_at", "audit_log", ["tenant_id", "at"], unique=False)
    op.create_table(
        "models",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("input_usd", sa.Numeric(precision=14, scale=6), nullable=False),
        sa.Column("output_usd", sa.Numeric(precision=14, scale=6), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "signing_keys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("public", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("signs_from", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("retires_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "usage_records",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("agent", sa.String(), server_default=sa.text("''"), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("jobs", sa.Integer(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost_nanos", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
    )
    op.create_index("usage_records_day", "usage_records", ["tenant_id", "day"], unique=False)
    op.create_table(
        "credentials",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("service", sa.String(), nullable=False),
        sa.Column("base_url", sa.String(), nullable=True),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("created_by", sa.String(), nullable=True),
        sa.Column("tested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("test_code", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
        sa.UniqueConstraint("tenant_id", "service", name="credentials_service"),
    )
    op.create_table(
        "grants",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("overrides", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("created_by", sa.String(), nullable=True),
        sa.CheckConstraint("kind IN ('agent', 'tool', 'model')", name="grants_kind"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "kind", "name"),
    )
    op.create_table(
        "identity_providers",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("issuer", sa.String(), nullable=False),
        sa.Column("audience", sa.String(), nullable=False),
        sa.Column("jwks_url", sa.String(), nullable=True),
        sa.Column("client_id", sa.String(), nullable=True),
        sa.Column("key_id", sa.String(), nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("role", sa.String(), server_default=sa.text("'member'"), nullable=False),
        sa.Column("role_claim", sa.String(), nullable=True),
        sa.Column("sign_up", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("created_by", sa.String(), nullable=True),
        sa.CheckConstraint("role IN ('owner', 'member', 'viewer')", name="identity_providers_role"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
        sa.UniqueConstraint("issuer", "audience", name="identity_providers_issuer"),
        sa.UniqueConstraint("tenant_id", "name", name="identity_providers_name"),
    )
    op.create_table(
        "users",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("name", sa.String(), server_default=sa.text("''"), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("state", sa.String(), server_default=sa.text("'active'"), nullable=False),
        sa.Column("password_hash", sa.String(), nullable=True),
        sa.Column("provider_id", sa.Uuid(), nullable=True),
        sa.Column("subject", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_login_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("role IN ('admin', 'owner', 'member', 'viewer')", name="users_role"),
        sa.CheckConstraint("state IN ('active', 'disabled')", name="users_state"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
        sa.UniqueConstraint("tenant_id", "email", name="users_email"),
        sa.UniqueConstraint("tenant_id", "provider_id", "subject", name="users_subject"),
    )
    op.create_table(
        "logins",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_for", sa.String(), nullable=True),
        sa.Column("address", sa.String(), nullable=True),
        sa.Column("client", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id", "user_id"], ["users.tenant_id", "users.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
    )
    op.create_index("logins_expiry", "logins", ["expires_at"], unique=False)
    op.create_index("logins_user", "logins", ["tenant_id", "user_id"], unique=False)
    op.create_table(
        "job_secrets",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id", "job_id"], ["jobs.tenant_id", "jobs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "job_id"),
    )
    op.create_table(
        "refresh_tokens",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("login_id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id", "login_id"], ["logins.tenant_id", "logins.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "login_id", "digest"),
    )
    op.add_column("api_keys", sa.Column("user_id", sa.Uuid(), nullable=True))
    op.add_column("api_keys", sa.Column("created_by", sa.String(), nullable=True))
    op.add_column("api_keys", sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True))
    op.create_foreign_key(None, "api_keys", "users", ["tenant_id", "user_id"], ["tenant_id", "id"], ondelete="CASCADE")
    op.add_column("jobs", sa.Column("user_id", sa.Uuid(), nullable=True))
    op.add_column("jobs", sa.Column("actor", sa.String(), nullable=True))
    op.add_column("jobs", sa.Column("address", sa.String(), nullable=True))
    op.add_column("sessions", sa.Column("user_id", sa.Uuid(), nullable=True))
    op.add_column("tenants", sa.Column("state", sa.String(), server_default=sa.text("'active'"), nullable=False))
    op.add_column("tenants", sa.Column("default_model", sa.String(), nullable=True))
    op.add_column("tenants", sa.Column("requests_per_minute", sa.Integer(), nullable=True))
    op.add_column("tenants", sa.Column("tokens_per_minute", sa.Integer(), nullable=True))
    op.add_column("tenants", sa.Column("budget_day_nanos", sa.BigInteger(), nullable=True))
    op.add_column("tenants", sa.Column("budget_month_nanos", sa.BigInteger(), nullable=True))
    op.add_column(
        "tenants", sa.Column("budget_warn_percent", sa.Integer(), server_default=sa.text("80"), nullable=False)
    )
    op.add_column("tenants", sa.Column("max_storage_bytes", sa.BigInteger(), nullable=True))
    op.add_column("tenants", sa.Column("retention_days", sa.Integer(), nullable=True))
    op.add_column("tenants", sa.Column("audit_days", sa.Integer(), server_default=sa.text("400"), nullable=False))
    op.add_column(
        "tenants", sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)
    )
    op.create_index("idempotency_keys_age", "idempotency_keys", ["created_at"], unique=False)
    for table, rights in RIGHTS.items():
        op.execute(security.isolate(table, rights=rights))
        op.execute(security.open_to_owner(table))
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON models TO headrace_app")
    op.execute("GRANT SELECT, INSERT ON signing_keys TO headrace_app")
    op.execute("GRANT INSERT, UPDATE, DELETE ON tenants TO headrace_app")
    op.execute(security.CURRENT_USER)
    for table in ("sessions", "jobs"):
        op.execute(security.confine_to_user(table))
    op.execute("GRANT UPDATE (last_used_at), DELETE ON api_keys TO headrace_system")
    op.execute("GRANT DELETE ON tenants TO headrace_system")
    op.execute(security.open_to_system("grants", rights="SELECT (tenant_id, kind, name)"))
    op.execute(security.open_to_system("credentials", rights="SELECT (tenant_id, service, key_id)"))
    op.execute(security.open_to_system("users", rights="SELECT (tenant_id, id, role, state)"))
    seen = "tenant_id, id, issuer, audience, jwks_url, role, role_claim, sign_up, key_id"
    op.execute(security.open_to_system("identity_providers", rights=f"SELECT ({seen})"))
    op.execute(security.open_to_system("job_secrets", rights="SELECT (key_id)"))
    op.execute("GRANT SELECT (key_id) ON signing_keys TO headrace_system")
    op.execute(security.open_to_system("logins", rights="SELECT (tenant_id, id, expires_at), DELETE"))
    op.execute(security.open_to_system("idempotency_keys", rights="SELECT, DELETE"))
    op.execute(security.open_to_system("usage_records", rights="SELECT, INSERT, DELETE"))
    op.execute(security.open_to_system("audit_log", rights="SELECT (tenant_id, id, at), DELETE"))
    op.execute(TENANT_FACTS)
    op.execute(security.as_system(FIND_KEY, "find_key(text)"))
    op.execute(security.as_system(TOUCH_KEYS, "touch_keys(uuid[], uuid[])"))
    op.execute(security.as_system(FIND_IDENTITY_PROVIDERS, "find_identity_providers(text)"))
    op.execute(security.as_system(COUNT_IN_FLIGHT, "count_in_flight(uuid)"))
    op.execute(security.as_system(FIND_TENANT_ID, "find_tenant_id(text)"))
    op.execute(security.as_system(SEALED_WITH, "sealed_with()"))
    op.execute(security.as_system(LIST_TENANTS, "list_tenants(text, integer, text, text)"))
    op.execute(PLATFORM)


def downgrade() -> None:
    raise NotImplementedError("who may do what would be lost: restore a backup instead")
