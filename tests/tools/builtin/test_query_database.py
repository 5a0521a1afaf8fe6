"""SQL over a tenant's data source: what may run does, what may not is refused, and the database is never harmed."""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from api.local.stores.local_stores import Stores
from schema.errors import EgressRefused, InputError, NotFound
from tests.tools.egress_servers import ConnectionTrap
from tests.tools.hostile.sql import HEAVY, STATEMENTS
from tests.tools.shop_database import TABLES, Shop, open_shop
from tests.tools.tool_contexts import call, failure, make_context
from tests.waiting import PATIENCE_S
from tools.builtin import query_database
from tools.contract import ToolContext
from tools.data_source import DataSource, connect_read_only, resolve_dsn
from tools.egress import EgressPolicy
from tools.errors import ToolFailed, ToolRefused
from tools.sql_allowlist import check_sql
from tools.sql_reading import read_rows

TOOL = query_database.build()


@pytest.fixture(scope="module")
def shop(stores: Stores) -> Iterator[Shop]:
    with open_shop(stores.database_url) as opened:
        yield opened


def context_of(source: DataSource) -> ToolContext:
    async def open_database(name: str) -> DataSource:
        if name != source.name:
            raise NotFound("There is no such data source.")
        return source

    return make_context(open_database=open_database)


async def query(shop: Shop, sql: str) -> list[list[Any]]:
    """The rows of a statement that may run."""
    return (await call(TOOL, context_of(shop.source), data_source="shop", sql=sql)).data["rows"]


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT count(*) FROM shop.orders", [[200]]),
        ("select customer, sum(amount) s from shop.orders group by 1 order by s desc limit 1", [["customer 0", 21000]]),
        (
            "SELECT c.name, o.amount FROM shop.orders o JOIN shop.customers c ON c.name = o.customer WHERE o.id = 3",
            [["customer 3", 30]],
        ),
        ("WITH big AS (SELECT * FROM shop.orders WHERE amount > 1990) SELECT id FROM big", [[200]]),
        ("SELECT id FROM shop.orders WHERE customer ILIKE '%7' ORDER BY id LIMIT 2 OFFSET 1", [[17], [27]]),
        ("SELECT CASE WHEN amount > 5 THEN 'big' ELSE 'small' END FROM shop.orders WHERE id IN (1)", [["big"]]),
        ("SELECT id, rank() OVER (ORDER BY amount DESC) FROM shop.orders ORDER BY id LIMIT 1", [[1, 200]]),
        ("SELECT 1 AS a, 2 AS a", [[1, 2]]),
        ("SELECT 'it''s' || '; DROP TABLE shop.orders' AS t", [["it's; DROP TABLE shop.orders"]]),
        ("SELECT date_trunc('month', DATE '2026-02-03')::date AS d", [["2026-02-01"]]),
        ("SELECT coalesce(NULL, round(2.5), 1)", [[3]]),
        (
            "SELECT id FROM shop.orders WHERE id = 1 UNION SELECT id FROM shop.customers WHERE id = 2 ORDER BY 1",
            [[1], [2]],
        ),
        ("SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY amount) FROM shop.orders", [[1005]]),
        ("SELECT upper(name) FROM shop.customers WHERE id = 1;", [["CUSTOMER 1"]]),
    ],
)
async def test_what_reads_is_run(shop: Shop, sql: str, rows: list[list[Any]]) -> None:
    assert rows == await query(shop, sql)


async def test_the_model_learns_the_tables_by_asking_without_sql(shop: Shop) -> None:
    result = await call(TOOL, context_of(shop.source), data_source="shop")
    assert "Tables:\nshop.customers: id, name\nshop.orders: id, customer, amount" == result.text


async def test_more_rows_than_may_come_are_cut_and_said_to_be(shop: Shop) -> None:
    result = await call(TOOL, context_of(shop.source), data_source="shop", sql="SELECT id FROM shop.orders ORDER BY id")
    assert (100, True) == (len(result.data["rows"]), result.truncated)
    assert result.text.endswith("[more rows; the first 100 are shown]")


@pytest.mark.parametrize("number", range(len(STATEMENTS)))
async def test_a_hostile_statement_is_refused_unseen_by_the_database(
    shop: Shop, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The data source has no address: whatever tried to run would fail with another error."""
    nowhere = replace(shop.source, dsn="host=127.0.0.1 port=1 connect_timeout=1")
    sql = STATEMENTS[number].replace("{folder}", "/nowhere").replace("{port}", "1")
    if not sql.strip():
        with pytest.raises(ToolRefused):
            check_sql(sql, TABLES)
        return
    error = await failure(TOOL, context_of(nowhere), data_source="shop", sql=sql)
    assert error.code in {"tool_refused", "tool_bad_arguments"}
    assert "data source shop" not in error.message


async def test_hostile_statements_do_no_harm_even_without_the_gate(shop: Shop, tmp_path: Path) -> None:
    """The second wall by itself: a role that only reads, a read-only transaction, an end to every statement."""
    before, few = shop.state(), asyncio.Semaphore(8)
    async with ConnectionTrap().listening() as trap:

        async def send(sql: str) -> str:
            async with few:
                return await _past_the_gate(shop.source, sql, tmp_path, trap.port)

        seen = await asyncio.gather(*map(send, STATEMENTS))
    assert (before, [], 0) == (shop.state(), os.listdir(tmp_path), trap.connections)
    assert [] == [sql for sql, text in zip(STATEMENTS, seen, strict=True) if "canary-7f3a" in text]


async def _past_the_gate(source: DataSource, sql: str, folder: Path, port: int) -> str:
    """What comes of a statement that is sent as it is, several in one included; the end of a transaction is sent too."""
    sql = sql.replace("{folder}", str(folder)).replace("{port}", str(port))
    try:
        async with connect_read_only(source) as db:
            query: Any = sql
            answer = await db.execute(query)
            rows = await answer.fetchmany(10) if answer.description else []
            await db.commit()
            return str(rows)
    except (psycopg.Error, ValueError) as error:
        return str(error)


@pytest.mark.parametrize("sql", HEAVY)
async def test_a_heavy_statement_ends_at_a_limit(shop: Shop, sql: str) -> None:
    error = await failure(TOOL, context_of(shop.source), data_source="shop", sql=sql)
    assert error.code in {"tool_timeout", "tool_too_large", "tool_bad_arguments", "tool_failed"}
    assert [[200]] == await query(shop, "SELECT count(*) FROM shop.orders")


async def test_a_statement_ends_on_the_server_when_the_caller_goes_away(shop: Shop) -> None:
    patient = replace(shop.source, statement_timeout_s=30.0)
    run = asyncio.ensure_future(read_rows(patient, check_sql(HEAVY[0], TABLES)))
    async with asyncio.timeout(PATIENCE_S):
        while not _active(shop):
            await asyncio.sleep(0.01)
        run.cancel()
        await asyncio.wait({run})
        while _active(shop):
            await asyncio.sleep(0.01)
    assert run.cancelled()


def _active(shop: Shop) -> bool:
    with psycopg.connect(shop.owner) as db:
        row = db.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'headrace-tool' AND state = 'active' "
            "AND datname = current_database()"
        ).fetchone()
    return bool(row and row[0])


async def test_a_value_that_is_too_large_never_reaches_us(shop: Shop) -> None:
    sql = "SELECT string_agg(customer, ',') || string_agg(customer, ',') FROM shop.orders, shop.customers"
    assert "tool_too_large" == (await failure(TOOL, context_of(shop.source), data_source="shop", sql=sql)).code


async def test_wrong_sql_comes_back_in_postgres_own_words(shop: Shop) -> None:
    error = await failure(TOOL, context_of(shop.source), data_source="shop", sql="SELECT nothing FROM shop.orders")
    assert ('Postgres rejected the query: column "nothing" does not exist.', "sql") == (error.message, error.field)


async def test_a_data_source_that_signs_in_as_superuser_is_refused(shop: Shop) -> None:
    owner = replace(shop.source, dsn=shop.owner)
    error = await failure(TOOL, context_of(owner), data_source="shop", sql="SELECT 1")
    assert ("tool_refused", True) == (error.code, "superuser" in error.message)


async def test_a_data_source_that_is_away_or_unknown_is_a_clear_error(shop: Shop) -> None:
    away = replace(shop.source, dsn="host=127.0.0.1 port=1 password=secret")
    errors = [
        await failure(TOOL, context_of(away), data_source="shop", sql="SELECT 1"),
        await failure(TOOL, context_of(shop.source), data_source="other", sql="SELECT 1"),
        await failure(TOOL, make_context(), data_source="shop", sql="SELECT 1"),
    ]
    assert [
        "The data source shop can't be reached; try later or tell an admin.",
        "There is no such data source.",
        "No data source is set up; an admin must add one.",
    ] == [error.message for error in errors]


def test_values_are_bound_and_never_written_into_the_statement() -> None:
    admitted = check_sql("SELECT * FROM shop.orders WHERE customer = :c AND id > :i", TABLES, parameters=["i", "c"])
    assert "SELECT * FROM shop.orders WHERE customer = $2 AND id > $1" == admitted
    with pytest.raises(ToolRefused, match=":other"):
        check_sql("SELECT :other", TABLES, parameters=["i"])


@pytest.mark.parametrize(
    "dsn",
    [
        "nonsense",
        "host=/var/run/postgresql dbname=x",
        "dbname=x",
        "host=a.example,b.example",
        "host=a.example hostaddr=8.8.8.8",
        "host=a.example passfile=/etc/passwd",
        "host=a.example sslkey=/etc/ssl/key",
        "host=a.example options='-c search_path=x'",
        "host=a.example service=x",
        "host=a.example port=1,2",
        "host=unknown.example",
    ],
)
async def test_a_dsn_that_can_not_be_used_names_the_field(dsn: str) -> None:
    with pytest.raises(InputError) as caught:
        await resolve_dsn(dsn, EgressPolicy(), resolver=_dns)
    assert "dsn" == caught.value.field


async def test_a_data_source_at_a_private_address_is_for_the_admin_to_allow() -> None:
    for dsn in ("host=127.0.0.1", "host=[::1]", "postgresql://u:p@rebind.example/db", "host=169.254.169.254"):
        with pytest.raises((EgressRefused, InputError)):
            await resolve_dsn(dsn, EgressPolicy(), resolver=_dns)
    allowed = await resolve_dsn("host=127.0.0.1", EgressPolicy(allowed_hosts=frozenset({"127.0.0.1"})), resolver=_dns)
    assert {"host": "127.0.0.1", "hostaddr": "127.0.0.1"}.items() <= conninfo_to_dict(allowed).items()
    assert "hostaddr=93.184.216.34" in await resolve_dsn("host=a.example user=u", EgressPolicy(), resolver=_dns)


async def test_a_dsn_without_a_password_takes_none_from_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "canary-operator")
    found = conninfo_to_dict(await resolve_dsn("host=a.example user=u", EgressPolicy(), resolver=_dns))
    assert ("", "/dev/null", "disable") == (found["password"], found["passfile"], found["gssencmode"])
    own = conninfo_to_dict(await resolve_dsn("postgresql://u:p@a.example/d", EgressPolicy(), resolver=_dns))
    assert "p" == own["password"]


async def _dns(host: str, port: int) -> list[str]:
    known = {"a.example": ["93.184.216.34"], "rebind.example": ["93.184.216.34", "10.0.0.5"]}
    if host not in known:
        raise OSError(host)
    return known[host]


def test_the_corpus_is_as_large_as_was_asked_for() -> None:
    assert len(set(STATEMENTS)) >= 80
    assert isinstance(ToolRefused(""), ToolFailed)
