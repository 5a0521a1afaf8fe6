"""certificates: what the API serves TLS with; acme_accounts and acme_challenges: how it gets them;
data_sources get the certificate authority that their server is checked with.
The first three belong to the installation. Private keys are sealed, and the system's users may read none of them.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from schema.migrations import security

revision = "0040"
down_revision = "0039"

# As in 0013, and these.
SEALED_WITH = """
CREATE OR REPLACE FUNCTION sealed_with() RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT key_id FROM credentials UNION SELECT key_id FROM identity_providers WHERE key_id IS NOT NULL
  UNION SELECT key_id FROM job_secrets UNION SELECT key_id FROM signing_keys
  UNION SELECT key_id FROM tools WHERE key_id IS NOT NULL UNION SELECT key_id FROM data_sources
  UNION SELECT key_id FROM webhook_endpoints UNION SELECT key_id FROM callback_secrets UNION SELECT key_id FROM triggers{more}
$$;
"""
SEEN = "id, name, origin, names, not_before, not_after, tries, error, key_id"


def upgrade() -> None:
    op.create_table(
        "certificates",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("names", postgresql.JSONB(), nullable=False),
        sa.Column("chain", sa.String(), nullable=True),
        sa.Column("csr", sa.String(), nullable=True),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("key_kind", sa.String(), nullable=False),
        sa.Column("issuer", sa.String(), nullable=True),
        sa.Column("fingerprint", sa.String(), nullable=True),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=True),
        sa.Column("not_after", sa.DateTime(timezone=True), nullable=True),
        sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_try_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("warned_days", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name", name="certificates_name"),
    )
    op.create_table(
        "acme_accounts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("directory", sa.String(), nullable=False),
        sa.Column("account", postgresql.JSONB(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("directory", name="acme_accounts_directory"),
    )
    op.create_table(
        "acme_challenges",
        sa.Column("token", sa.String(), nullable=False),
        sa.Column("answer", sa.String(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("token"),
    )
    op.add_column("data_sources", sa.Column("ca", sa.String(), nullable=True))
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON certificates, acme_accounts, acme_challenges TO headrace_app")
    op.execute(f"GRANT SELECT ({SEEN}) ON certificates TO headrace_system")
    op.execute("GRANT SELECT (key_id) ON acme_accounts TO headrace_system")
    more = " UNION SELECT key_id FROM certificates UNION SELECT key_id FROM acme_accounts"
    op.execute(security.as_system(SEALED_WITH.format(more=more), "sealed_with()"))


def downgrade() -> None:
    op.execute(security.as_system(SEALED_WITH.format(more=""), "sealed_with()"))
    op.drop_column("data_sources", "ca")
    op.drop_table("acme_challenges")
    op.drop_table("acme_accounts")
    op.drop_table("certificates")
