"""Whatever SQL reached a connection of ours, it would not become the owner of the tables."""

from typing import LiteralString

import psycopg
import pytest

from schema.errors import Unavailable
from schema.ids import new_id
from schema.postgres.connections import pool_for, system_tx, tenant_tx
from schema.postgres.logins import ROLES, Role
from tests.conftest import TestTenant

ESCAPES: tuple[LiteralString, ...] = (
    "SET ROLE NONE",
    "RESET ROLE",
    "SET LOCAL ROLE NONE",
    "SELECT set_config('role', 'none', true)",
    "SET ROLE headrace",
    "SET SESSION AUTHORIZATION DEFAULT",
    "SET SESSION AUTHORIZATION headrace",
    "SET ROLE postgres",
    "RESET ALL",
    "DISCARD ALL",
    "SET row_security = off",
    "ALTER TABLE tenants NO FORCE ROW LEVEL SECURITY",
    "ALTER TABLE tenants DISABLE ROW LEVEL SECURITY",
    "DROP POLICY tenant ON tenants",
    "ALTER ROLE CURRENT_USER BYPASSRLS",
    "ALTER ROLE CURRENT_USER SUPERUSER",
    "GRANT headrace TO CURRENT_USER",
    "SET session_replication_role = replica",
)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("escape", ESCAPES)
async def test_no_statement_makes_a_connection_the_owners(
    database_url: str, tenant: TestTenant, role: Role, escape: LiteralString
) -> None:
    other: Role = ROLES[1 - ROLES.index(role)]
    async with pool_for(database_url, role, max_size=1) as pool:
        for statement in (escape, f"SET ROLE {other}"):
            try:
                async with system_tx(pool) as db:
                    await db.execute(statement)
                    row = await (await db.execute("SELECT current_user AS who, session_user AS login")).fetchone()
                    assert {"who": role, "login": role} == row
            except (psycopg.Error, Unavailable):
                pass  # refused, which is as good
            async with system_tx(pool) as db:  # nor does it stay on the connection
                row = await (await db.execute("SELECT current_user AS who, session_user AS login")).fetchone()
            assert {"who": role, "login": role} == row


@pytest.mark.parametrize("escape", ESCAPES)
async def test_a_transaction_of_an_unknown_tenant_sees_no_row_after_it(
    database_url: str, tenant: TestTenant, escape: LiteralString
) -> None:
    seen: list[object] = []
    async with pool_for(database_url, "headrace_app", max_size=1) as pool:
        try:
            async with tenant_tx(pool, new_id()) as db:
                await db.execute(escape)
                for table in ("tenants", "api_keys"):
                    seen += await (await db.execute(f"SELECT * FROM {table}")).fetchall()
        except (psycopg.Error, Unavailable):
            pass
        async with tenant_tx(pool, new_id()) as db:
            for table in ("tenants", "api_keys"):
                seen += await (await db.execute(f"SELECT * FROM {table}")).fetchall()
    assert [] == seen
