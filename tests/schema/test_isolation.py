"""The database itself isolates tenants, whatever the code above it does."""

from uuid import UUID

import psycopg
import pytest
from psycopg.rows import dict_row

from schema.ids import new_id
from schema.postgres.connections import connection_options
from schema.postgres.logins import Role, login_conninfo
from tests.conftest import TestTenant, make_tenant


def connect(database_url: str, role: Role) -> psycopg.Connection[dict[str, object]]:
    options = {**connection_options("test"), "row_factory": dict_row, "autocommit": False}
    return psycopg.connect(login_conninfo(database_url, role), **options)


def set_tenant(db: psycopg.Connection[dict[str, object]], tenant_id: UUID) -> None:
    db.execute("SELECT set_config('headrace.tenant_id', %s, true)", (str(tenant_id),))


def add_session(db: psycopg.Connection[dict[str, object]], tenant_id: UUID) -> UUID:
    session_id = new_id()
    db.execute("INSERT INTO sessions (tenant_id, id, title) VALUES (%s, %s, 't')", (tenant_id, session_id))
    return session_id


def test_a_tenant_sees_only_its_own_rows(database_url: str, tenant: TestTenant) -> None:
    other = make_tenant(database_url)
    with connect(database_url, "headrace_app") as db:
        set_tenant(db, tenant.id)
        mine = add_session(db, tenant.id)
        db.commit()
        set_tenant(db, other.id)
        add_session(db, other.id)
        db.commit()
        set_tenant(db, tenant.id)
        seen = [row["id"] for row in db.execute("SELECT id FROM sessions")]
    assert [mine] == seen


def test_a_row_of_another_tenant_cannot_be_written(database_url: str, tenant: TestTenant) -> None:
    other = make_tenant(database_url)
    with connect(database_url, "headrace_app") as db:
        set_tenant(db, tenant.id)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            add_session(db, other.id)


def test_a_query_without_a_tenant_is_an_error(database_url: str, tenant: TestTenant) -> None:
    with connect(database_url, "headrace_app") as db:
        set_tenant(db, tenant.id)
        db.commit()  # the setting ends with its transaction
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="no tenant is set"):
            db.execute("SELECT id FROM sessions").fetchall()


def test_a_reference_cannot_leave_the_tenant(database_url: str, tenant: TestTenant) -> None:
    other = make_tenant(database_url)
    with connect(database_url, "headrace_app") as db:
        set_tenant(db, other.id)
        theirs = add_session(db, other.id)
        db.commit()
        set_tenant(db, tenant.id)
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            db.execute(
                "INSERT INTO messages (tenant_id, id, session_id, turn, ordinal, role, parts) "
                "VALUES (%s, %s, %s, 1, 0, 'user', '[]')",
                (tenant.id, new_id(), theirs),
            )


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT payload FROM jobs",
        "SELECT result FROM jobs",
        "SELECT parts FROM messages",
        "SELECT frames FROM job_logs",
    ],
)
def test_the_dispatcher_cannot_read_content(database_url: str, statement: str) -> None:
    with connect(database_url, "headrace_system") as db, pytest.raises(psycopg.errors.InsufficientPrivilege):
        db.execute(statement)


def test_a_key_is_found_before_its_tenant_is_known(database_url: str, tenant: TestTenant) -> None:
    with connect(database_url, "headrace_app") as db:
        row = db.execute("SELECT tenant_id FROM find_api_key(%s)", (tenant.key[3:11],)).fetchone()
    assert row == {"tenant_id": tenant.id}
