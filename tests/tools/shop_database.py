"""A tenant's own database, as a data source: two tables that may be read, one that may not, and things that would do harm."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

import psycopg
from psycopg.conninfo import make_conninfo

from tools.data_source import DataSource

TABLES = {"shop.orders": "id, customer, amount", "shop.customers": "id, name"}

SHOP = """
CREATE SCHEMA shop;
CREATE TABLE shop.orders (id int PRIMARY KEY, customer text, amount int);
CREATE TABLE shop.customers (id int PRIMARY KEY, name text);
CREATE TABLE shop.secrets (password text);
CREATE SEQUENCE shop.numbers;
CREATE MATERIALIZED VIEW shop.totals AS SELECT sum(amount) FROM shop.orders;
CREATE FUNCTION shop.wipe() RETURNS int LANGUAGE sql AS 'DELETE FROM shop.orders; SELECT 1';
INSERT INTO shop.orders SELECT n, 'customer ' || n % 10, n * 10 FROM generate_series(1, 200) AS n;
INSERT INTO shop.customers SELECT n, 'customer ' || n FROM generate_series(0, 9) AS n;
INSERT INTO shop.secrets VALUES ('canary-7f3a');
"""

STATE = """
SELECT (SELECT md5(string_agg(o::text, ',' ORDER BY id)) FROM shop.orders AS o),
       (SELECT md5(string_agg(c::text, ',' ORDER BY id)) FROM shop.customers AS c),
       (SELECT string_agg(password, ',') FROM shop.secrets),
       (SELECT last_value FROM shop.numbers),
       (SELECT array_agg(relname || relkind::text ORDER BY oid) FROM pg_class WHERE relnamespace > 16383 OR oid > 16383),
       (SELECT array_agg(proname ORDER BY oid) FROM pg_proc WHERE oid > 16383),
       (SELECT array_agg(rolname || rolsuper::text ORDER BY oid) FROM pg_roles),
       (SELECT count(*) FROM pg_largeobject_metadata),
       (SELECT count(*) FROM pg_db_role_setting),
       (SELECT count(*) FROM pg_extension),
       (SELECT array_agg(relacl::text ORDER BY oid) FROM pg_class WHERE relnamespace > 16383)
"""
"""Whatever a statement could leave behind."""


@dataclass(frozen=True)
class Shop:
    """`source` is how a tool sees it, `owner` a DSN of who may do everything."""

    source: DataSource
    owner: str

    def state(self) -> tuple[object, ...]:
        """What is there; equal before and after when nothing was harmed."""
        with psycopg.connect(self.owner) as db:
            return db.execute(STATE).fetchone() or ()


@contextmanager
def open_shop(server_url: str, *, statement_timeout_s: float = 2.0) -> Iterator[Shop]:
    """Make the database and a role of its own that may only read."""
    name = f"shop_{uuid4().hex[:12]}"
    with psycopg.connect(server_url, autocommit=True) as db:
        db.execute(f'CREATE DATABASE "{name}"')
        db.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'reader'")
    owner = make_conninfo(server_url, dbname=name)
    with psycopg.connect(owner, autocommit=True) as db:
        db.execute(SHOP)
        db.execute(f"GRANT USAGE ON SCHEMA shop TO {name}; GRANT SELECT ON shop.orders, shop.customers TO {name}")
    dsn = make_conninfo(server_url, dbname=name, user=name, password="reader")
    source = DataSource(
        name="shop", dsn=dsn, tables=TABLES, max_rows=100, max_bytes=20_000, statement_timeout_s=statement_timeout_s
    )
    yield Shop(source, owner)
    with psycopg.connect(server_url, autocommit=True) as db:
        db.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        db.execute(f"DROP ROLE {name}")
