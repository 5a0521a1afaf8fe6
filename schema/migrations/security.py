"""Roles and row-level security, as SQL that migrations run.

- The user in HEADRACE_DATABASE_URL owns the tables and migrates them; no process works as that user
  (`schema/postgres/logins.py`).
- `headrace_app` is for the API and the workers: it owns nothing, can't bypass row security, and sees only the tenant that the
  transaction sets in `headrace.tenant_id`. Without one, queries raise an error instead of returning nothing. A transaction
  that also sets `headrace.user_id` sees only that user's sessions and jobs.
- `headrace_system` is for the dispatcher and the sweeper: all tenants, but only the columns of the queue.
"""

ROLES = """
DO $$
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('headrace roles'));
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'headrace_app') THEN
    CREATE ROLE headrace_app NOLOGIN NOINHERIT NOBYPASSRLS;
  END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'headrace_system') THEN
    CREATE ROLE headrace_system NOLOGIN NOINHERIT NOBYPASSRLS;
  END IF;
  EXECUTE format('GRANT headrace_app, headrace_system TO %I', current_user);
  GRANT USAGE ON SCHEMA public TO headrace_app, headrace_system;
END $$;
"""

CURRENT_TENANT = """
CREATE FUNCTION headrace_tenant() RETURNS uuid LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE tenant text := current_setting('headrace.tenant_id', true);
BEGIN
  IF tenant IS NULL OR tenant = '' THEN
    RAISE EXCEPTION 'no tenant is set for this transaction' USING ERRCODE = 'insufficient_privilege';
  END IF;
  RETURN tenant::uuid;
END $$;
"""


CURRENT_USER = """
CREATE FUNCTION headrace_user() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT nullif(current_setting('headrace.user_id', true), '')::uuid
$$;
"""


def confine_to_user(table: str) -> str:
    """Return the SQL that limits a transaction with a user to that user's rows of `table`."""
    own = "(SELECT headrace_user()) IS NULL OR user_id = (SELECT headrace_user())"
    return f"""
CREATE POLICY own ON {table} AS RESTRICTIVE TO headrace_app USING ({own}) WITH CHECK ({own});
"""


def share_with_user(table: str) -> str:
    """Return the SQL that limits a transaction with a user to that user's rows of `table` and those without a user."""
    seen = "(SELECT headrace_user()) IS NULL OR user_id IS NULL OR user_id = (SELECT headrace_user())"
    return f"""
CREATE POLICY shared_or_own ON {table} AS RESTRICTIVE TO headrace_app USING ({seen}) WITH CHECK ({seen});
"""


def isolate(table: str, *, column: str = "tenant_id", rights: str = "SELECT, INSERT, UPDATE, DELETE") -> str:
    """Return the SQL that limits `headrace_app` to its tenant's rows of `table`."""
    return f"""
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
GRANT {rights} ON {table} TO headrace_app;
CREATE POLICY tenant ON {table} TO headrace_app
  USING ({column} = (SELECT headrace_tenant())) WITH CHECK ({column} = (SELECT headrace_tenant()));
"""


def isolate_threads(table: str) -> str:
    """Return the SQL that limits `headrace_app` to its tenant's rows of one of LangGraph's tables, where the tenant is only
    part of the thread id: `tenant_{id}__user_{id}__session_{id}`."""
    own = "split_part(thread_id, '__', 1) = (SELECT 'tenant_' || headrace_tenant())"
    return f"""
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO headrace_app;
CREATE POLICY tenant ON {table} TO headrace_app USING ({own}) WITH CHECK ({own});
"""


def open_to_system(table: str, *, rights: str) -> str:
    """Return the SQL that lets the dispatcher and the sweeper use `table` across tenants."""
    return f"""
GRANT {rights} ON {table} TO headrace_system;
CREATE POLICY system ON {table} TO headrace_system USING (true) WITH CHECK (true);
"""


def open_to_owner(table: str) -> str:
    """Return the SQL that lets the owner of `table`, who runs migrations, use it despite FORCE."""
    return f"CREATE POLICY owner ON {table} TO CURRENT_USER USING (true) WITH CHECK (true);"


def as_system(function: str, signature: str) -> str:
    """Return the SQL that makes `function` run with the system's rights, for `headrace_app` to call."""
    return f"""
GRANT CREATE ON SCHEMA public TO headrace_system;
{function}
ALTER FUNCTION {signature} OWNER TO headrace_system;
REVOKE CREATE ON SCHEMA public FROM headrace_system;
REVOKE ALL ON FUNCTION {signature} FROM PUBLIC;
GRANT EXECUTE ON FUNCTION {signature} TO headrace_app, headrace_system;
"""
