"""Behind PgBouncer in transaction mode a process works, or doesn't start and says why."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from api.local.stores.local_stores import open_stores
from schema.errors import LoginRefused
from schema.ids import new_id
from schema.installation.migrate import migrate
from schema.postgres.batch import run_batch
from schema.postgres.connections import pool_for, tenant_tx
from schema.postgres.logins import ROLES, check_login
from schema.postgres.pooling import shares_servers
from tests.schema.postgres.poolers import NOT_INSTALLED, PGBOUNCER, TOO_OLD, TRACKS_STATEMENTS, pgbouncer

pytestmark = pytest.mark.skipif(PGBOUNCER is None, reason=NOT_INSTALLED)
AT_ONCE, TIMES = 8, 40


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with open_stores(Path(tmp_path_factory.mktemp("pooling")), durable=False) as running:
        migrate(running.database_url)
        yield running.database_url


@pytest.mark.parametrize("role", ROLES)
def test_a_pooler_that_passes_names_on_is_refused_with_the_reason(server: str, tmp_path: Path, role) -> None:
    with pgbouncer(server, tmp_path, mode="transaction", prepared=0) as pooler:
        for _ in range(2):  # the second finds what the first has left in the server process
            with pytest.raises(
                LoginRefused, match=r"1\.21 or newer with max_prepared_statements = 200.*pool_mode = session"
            ):
                check_login(pooler.url, role)


def test_a_pooler_without_transactions_is_refused_with_the_reason(server: str, tmp_path: Path) -> None:
    with (
        pgbouncer(server, tmp_path, mode="statement") as pooler,
        pytest.raises(LoginRefused, match="pool_mode = statement"),
    ):
        check_login(pooler.url, "headrace_app")


def test_migrations_go_past_the_pooler(server: str, tmp_path: Path) -> None:
    with (
        pgbouncer(server, tmp_path, mode="transaction", prepared=200) as pooler,
        pytest.raises(LoginRefused, match=r"HEADRACE_DATABASE_URL leads to a pooler.*HEADRACE_APP_DATABASE_URL"),
    ):
        migrate(pooler.url)


def test_who_has_a_server_process_of_its_own_shares_none(server: str, tmp_path: Path) -> None:
    assert not shares_servers(lambda: psycopg.connect(server, autocommit=True))
    with pgbouncer(server, tmp_path, mode="session") as pooler:
        assert not shares_servers(lambda: psycopg.connect(pooler.url, autocommit=True))
        check_login(pooler.url, "headrace_app")
        assert migrate(pooler.url) is False


@pytest.mark.skipif(not TRACKS_STATEMENTS, reason=TOO_OLD)
async def test_a_pooler_that_tracks_prepared_statements_serves_all_transactions(server: str, tmp_path: Path) -> None:
    with pgbouncer(server, tmp_path, mode="transaction", prepared=200) as pooler:
        for role in ROLES:
            check_login(pooler.url, role)
        async with pool_for(pooler.url, "headrace_app", max_size=AT_ONCE) as pool:

            async def work(number: int) -> list[int]:
                seen = []
                for _ in range(TIMES):
                    async with tenant_tx(pool, new_id()) as db:
                        row = await (await db.execute("SELECT %s::int AS n", (number,))).fetchone()
                    (rows,) = await run_batch(pool, new_id(), [("SELECT %(n)s::int AS n", {"n": number})])
                    seen += [row and row["n"], rows.values[0][0]]
                return seen

            done = await asyncio.gather(*(work(number) for number in range(2 * AT_ONCE)))
    assert [{number} for number in range(2 * AT_ONCE)] == [set(seen) for seen in done]
    assert {2 * TIMES} == {len(seen) for seen in done}
