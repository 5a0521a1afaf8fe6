"""Roles and row-level security, as SQL that migrations run.

- The login role (the one in the database URL) owns the tables and migrates them.
- `headrace_app` is what the API and the workers become: it owns nothing, can't bypass row security, and sees one tenant,
  the one that the transaction names in `headrace.tenant_id`. No tenant named is an error, not an empty answer. A
  transaction that also names a user in `headrace.user_id` sees that user's sessions and jobs only.
- `headrace_system` is the dispatcher and the sweeper: all tenants, but only the columns of the queue.
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
    """Return the SQL that shows a transaction which names a user only that user's rows of `table`."""
    own = "(SELECT headrace_user()) IS NULL OR user_id = (SELECT headrace_user())"
    return f"""
CREATE POLICY own ON {table} AS RESTRICTIVE TO headrace_app USING ({own}) WITH CHECK ({own});
"""


def share_with_user(table: str) -> str:
    """Return the SQL that shows a transaction which names a user only that user's rows of `table` and those of nobody."""
    seen = "(SELECT headrace_user()) IS NULL OR user_id IS NULL OR user_id = (SELECT headrace_user())"
    return f"""
CREATE POLICY shared_or_own ON {table} AS RESTRICTIVE TO headrace_app USING ({seen}) WITH CHECK ({seen});
"""


def isolate(table: str, *, column: str = "tenant_id", rights: str = "SELECT, INSERT, UPDATE, DELETE") -> str:
    """Return the SQL that confines `headrace_app` to its tenant's rows of `table`."""
    return f"""
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
GRANT {rights} ON {table} TO headrace_app;
CREATE POLICY tenant ON {table} TO headrace_app
  USING ({column} = (SELECT headrace_tenant())) WITH CHECK ({column} = (SELECT headrace_tenant()));
"""


def isolate_threads(table: str) -> str:
    """Return the SQL that confines `headrace_app` to its tenant's rows of one of LangGraph's tables, where the tenant stands in
    the name of the thread only: `tenant_{id}__user_{id}__session_{id}`."""
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
    """Return the SQL that lets the owner of `table`, who migrates, work on it in spite of FORCE."""
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
