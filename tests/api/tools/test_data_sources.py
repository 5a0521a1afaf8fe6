"""Data sources over HTTP, against a real database: what is kept, what is refused, and what a try finds."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from api.local.stores.local_stores import Stores
from schema.vault import Sealed
from tests.api.owned_rows import TOOLS, kept, make
from tests.api.people import audit_entries
from tests.conftest import TestTenant, make_tenant
from tests.secret import VAULT
from tests.tools.shop_database import Shop, open_shop

TENANT_ROLE = "owner"

SOURCES = "/api/admin/data-sources"
TABLES = ["shop.orders", "shop.customers"]
KEPT = "SELECT * FROM data_sources WHERE name = %s"
DSN = "postgresql://reader:canary-4f1a@127.0.0.1:9/shop"


@pytest.fixture(scope="module")
def shop(stores: Stores) -> Iterator[Shop]:
    with open_shop(stores.database_url) as opened:
        yield opened


def source(**fields: Any) -> dict[str, Any]:
    return {"name": f"source_{uuid4().hex[:12]}", "dsn": DSN, "tables": TABLES, **fields}


async def make_source(api: httpx.AsyncClient, **fields: Any) -> str:
    return await make(api, SOURCES, source(**fields))


def opened(found: dict[str, Any]) -> str:
    return VAULT.open(Sealed(found["key_id"], found["sealed"]), tenant_id=found["tenant_id"], owner_id=found["id"])


async def test_a_dsn_is_sealed_for_its_row_and_never_told(
    api: httpx.AsyncClient, database_url: str, tenant: TestTenant
) -> None:
    sent = source(description="The shop.", max_rows=50, timeout_s=2.5)
    made = await api.post(SOURCES, json=sent)
    name = sent["name"]
    assert (201, f"{SOURCES}/{name}") == (made.status_code, made.headers["location"])
    found = (await api.get(f"{SOURCES}/{name}")).json()
    assert {key: value for key, value in sent.items() if key != "dsn"} == {
        key: found[key] for key in sent if key != "dsn"
    }
    assert DSN == opened(kept(database_url, KEPT, name))
    told = [made.text, str(found), (await api.get(SOURCES)).text, (await api.post(f"{SOURCES}/{name}/test")).text]
    told.append(str([audit_entries(database_url, tenant.id, f"data_source.{did}") for did in ("created", "tested")]))
    assert [] == [text for text in told if "canary" in text or "reader" in text]


async def test_a_change_leaves_the_rest_as_it_is(api: httpx.AsyncClient, database_url: str) -> None:
    name = await make_source(api, description="Old.")
    changed = (await api.patch(f"{SOURCES}/{name}", json={"max_rows": 7})).json()
    assert (7, "Old.", TABLES) == (changed["max_rows"], changed["description"], changed["tables"])
    assert DSN == opened(kept(database_url, KEPT, name))
    other = DSN.replace("canary-4f1a", "canary-9b2c")
    await api.patch(f"{SOURCES}/{name}", json={"dsn": other, "tables": ["shop.orders"]})
    assert (other, ["shop.orders"]) == (
        opened(kept(database_url, KEPT, name)),
        kept(database_url, KEPT, name)["tables"],
    )
    assert 204 == (await api.delete(f"{SOURCES}/{name}")).status_code
    for method in ("GET", "PATCH", "DELETE"):
        assert 404 == (await api.request(method, f"{SOURCES}/{name}", json={})).status_code


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        *(({"name": name}, "name") for name in ("", "a b", "1a", "x" * 65)),
        *(
            ({"dsn": dsn}, "dsn")
            for dsn in (
                *("", "canary", "https://canary@x.example.com", "host=/tmp dbname=canary", "postgresql:///canary"),
                *(
                    "postgresql://u:canary@a,b/c",
                    "postgresql://u:p@canary@127.0.0.1/x",
                    "host=127.0.0.1 passfile=/canary",
                ),
                *("postgresql://u:canary@10.0.0.1/c", "postgresql://u:canary@169.254.169.254/c", "dbname=canary"),
                *("postgresql://u:canary@127.0.0.1/c?options=-c%20role=x", "service=canary host=127.0.0.1"),
                "host=127.0.0.1 hostaddr=8.8.8.8 password=canary",
            )
        ),
        ({"tables": []}, "tables"),
        ({"tables": ["orders"]}, "tables[0]"),
        ({"tables": ["shop.orders", "shop.orders; --"]}, "tables[1]"),
        ({"tables": ["shop.orders", "shop.orders"]}, "tables[1]"),
        ({"max_rows": 0}, "max_rows"),
        ({"max_rows": 1001}, "max_rows"),
        ({"timeout_s": 61}, "timeout_s"),
        ({"user": "canary"}, "user"),
    ],
)
async def test_what_can_not_be_a_data_source_is_refused_with_the_field(
    api: httpx.AsyncClient, fields: dict[str, Any], field: str
) -> None:
    answers = [await api.post(SOURCES, json=source(**fields))]
    if "name" not in fields:
        answers.append(await api.patch(f"{SOURCES}/{await make_source(api)}", json=fields))
    for answer in answers:
        assert (400, field) == (answer.status_code, answer.json()["errors"][0]["field"]), answer.text
        assert "canary" not in answer.text


async def test_headraces_own_database_is_no_data_source(api: httpx.AsyncClient, database_url: str) -> None:
    own = conninfo_to_dict(database_url)
    for host in ("127.0.0.1", "localhost"):
        dsn = make_conninfo("", host=host, port=own.get("port", 5432), dbname=own["dbname"], user="x")
        answer = await api.post(SOURCES, json=source(dsn=dsn))
        assert (400, "dsn") == (answer.status_code, answer.json()["errors"][0]["field"])


async def test_a_name_is_taken_once_in_a_tenant(api: httpx.AsyncClient, database_url: str) -> None:
    name = await make_source(api)
    assert 409 == (await api.post(SOURCES, json=source(name=name))).status_code
    stranger = make_tenant(database_url, role="owner").headers
    for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/test")):
        answer = await api.request(method, f"{SOURCES}/{name}{path}", json={}, headers=stranger)
        assert 404 == answer.status_code
    assert [] == (await api.get(SOURCES, headers=stranger)).json()["items"]
    assert 201 == (await api.post(SOURCES, json=source(name=name), headers=stranger)).status_code


async def test_pages_show_every_data_source_once_in_order(api: httpx.AsyncClient) -> None:
    names = sorted([await make_source(api, name=name) for name in ("b", "B", "a1", "a_2")])
    first = (await api.get(SOURCES, params={"limit": 3})).json()
    second = (await api.get(SOURCES, params={"limit": 3, "cursor": first["next_cursor"]})).json()
    assert (names, None) == ([item["name"] for item in first["items"] + second["items"]], second["next_cursor"])
    assert ["a_2"] == [item["name"] for item in (await api.get(SOURCES, params={"search": "A_"})).json()["items"]]


async def test_a_try_tells_which_tables_are_there_and_may_be_read(api: httpx.AsyncClient, shop: Shop) -> None:
    name = await make_source(api, dsn=over_tcp(shop.source.dsn))
    tried = (await api.post(f"{SOURCES}/{name}/test")).json()
    assert (True, "ok") == (tried["ok"], tried["code"]), tried
    await api.patch(f"{SOURCES}/{name}", json={"tables": ["shop.orders", "shop.secrets", "shop.nothing", "no.where"]})
    tried = (await api.post(f"{SOURCES}/{name}/test")).json()
    assert (False, "tables_unreadable") == (tried["ok"], tried["code"])
    assert [
        ("shop.orders", True, True),
        ("shop.secrets", True, False),
        ("shop.nothing", False, False),
        ("no.where", False, False),
    ] == [(table["name"], table["exists"], table["readable"]) for table in tried["tables"]]


async def test_a_try_that_fails_says_why(api: httpx.AsyncClient, shop: Shop) -> None:
    wrong = make_conninfo(over_tcp(shop.source.dsn), dbname="nothing_of_that_name")
    for dsn, code in ((DSN, "tool_failed"), (wrong, "tool_failed"), (over_tcp(shop.owner), "tool_refused")):
        tried = (await api.post(f"{SOURCES}/{await make_source(api, dsn=dsn)}/test")).json()
        assert (False, code, []) == (tried["ok"], tried["code"], tried["tables"]), tried


async def test_a_sql_tool_reads_the_data_source_when_it_is_tried(api: httpx.AsyncClient, shop: Shop) -> None:
    name = await make_source(api, dsn=over_tcp(shop.source.dsn))
    config = {
        "data_source": name,
        "statement": "SELECT sum(amount) AS total FROM shop.orders WHERE customer = :customer",
    }
    parameters = {"type": "object", "properties": {"customer": {"type": "string"}}, "required": ["customer"]}
    tool = {
        "name": "total",
        "kind": "SQL",
        "description": "Sums.",
        "config": config,
        "parameters": parameters,
    }
    assert 201 == (await api.post(TOOLS, json=tool)).status_code
    tried = (await api.post(f"{TOOLS}/total/test", json={"arguments": {"customer": "customer 3"}})).json()
    assert (True, None) == (tried["ok"], tried["request"]), tried
    assert "19600" in tried["text"]
    await api.delete(f"{SOURCES}/{name}")
    tried = (await api.post(f"{TOOLS}/total/test", json={"arguments": {"customer": "x"}})).json()
    assert (False, True) == (tried["ok"], name in tried["error"]["message"])


def over_tcp(dsn: str) -> str:
    """The same database, as whoever is somewhere else would name it."""
    parts = conninfo_to_dict(dsn)
    return make_conninfo("", **{**parts, "host": "127.0.0.1"})
