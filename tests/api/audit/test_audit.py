"""Reading the audit log over HTTP."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from psycopg.types.json import Jsonb

from schema.ids import new_id
from tests.conftest import TestTenant

BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)
USER, KEY = f"user:{uuid4()}", f"key:{uuid4()}"


@pytest.fixture
def log(database_url: str, owner: TestTenant) -> TestTenant:
    """A tenant whose log has six entries, a minute apart."""
    entries = [
        *(
            (USER, "user.create", "a", "ok"),
            (USER, "user.delete", "a", "ok"),
            (KEY, "tool.call", "web", "ok"),
        ),
        *(
            (KEY, "tool.call", "sql", "failed"),
            ("system", "users.sweep", "", "ok"),
            (f"key:{uuid4()}", "login", "b", "denied"),
        ),
    ]
    sql = "INSERT INTO audit_log (tenant_id, id, at, actor, action, target, result, detail) VALUES (%s,%s,%s,%s,%s,%s,%s,%s)"
    with psycopg.connect(database_url) as db:
        for place, entry in enumerate(entries):
            db.execute(sql, (owner.id, new_id(), BEGIN + timedelta(minutes=place), *entry, Jsonb({"place": place})))
    return owner


async def places(api: httpx.AsyncClient, tenant: TestTenant, **params: Any) -> list[int]:
    answer = await api.get("/api/audit", params=params, headers=tenant.headers)
    assert 200 == answer.status_code, answer.text
    return [item["detail"]["place"] for item in answer.json()["items"]]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, [5, 4, 3, 2, 1, 0]),
        ({"action": "user"}, [1, 0]),
        ({"action": "user.delete"}, [1]),
        ({"action": "use"}, []),
        ({"actor": KEY}, [3, 2]),
        ({"actor": KEY, "result": "failed"}, [3]),
        ({"target": "web"}, [2]),
        ({"since": "2026-03-01T12:02:00Z", "until": "2026-03-01T12:04:00Z"}, [3, 2]),
        ({"since": "2026-03-01T14:04:00+02:00"}, [5, 4]),
        ({"since": "2026-03-01T12:04:00"}, [5, 4]),
        ({"since": "2026-03-01"}, [5, 4, 3, 2, 1, 0]),
        ({"since": "2026-03-02"}, []),
        ({"until": "2026-03-01"}, []),
        ({"until": "2026-03-02"}, [5, 4, 3, 2, 1, 0]),
        ({"actor": f"key:{KEY[4:].upper()}"}, [3, 2]),
        ({"actor": "anonymous"}, []),
        ({"result": "cancelled"}, []),
        ({"result": "tool_timeout"}, []),
    ],
)
async def test_the_log_is_read_by_what_is_asked_for_the_newest_first(
    api: httpx.AsyncClient, log: TestTenant, params: dict[str, str], expected: list[int]
) -> None:
    assert expected == await places(api, log, **params)


async def test_pages_show_every_deed_once(api: httpx.AsyncClient, log: TestTenant) -> None:
    seen: list[int] = []
    cursor: str | None = None
    while True:
        params: dict[str, Any] = {"limit": 4} | ({"cursor": cursor} if cursor else {})
        page = (await api.get("/api/audit", params=params, headers=log.headers)).json()
        seen += [item["detail"]["place"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert [5, 4, 3, 2, 1, 0] == seen


async def test_the_log_is_for_those_who_may_read_it(
    api: httpx.AsyncClient, admin: httpx.AsyncClient, log: TestTenant, stranger: TestTenant
) -> None:
    assert 403 == (await api.get("/api/audit", headers=stranger.headers)).status_code
    assert 403 == (await api.get("/api/admin/audit", headers=log.headers)).status_code
    answer = await admin.get(f"/api/admin/tenants/{log.slug}/audit", params={"action": "tool"})
    assert ["sql", "web"] == [item["target"] for item in answer.json()["items"]]


async def test_the_platforms_log_holds_what_concerns_the_installation(admin: httpx.AsyncClient) -> None:
    slug, model = f"t-{uuid4().hex[:8]}", f"openai/{uuid4().hex[:8]}"
    await admin.post("/api/admin/tenants", json={"slug": slug, "name": "Acme"})
    await admin.put(f"/api/admin/models/{model}", json={"input_usd": 1, "output_usd": 2.5})
    await admin.delete(f"/api/admin/models/{model}")
    items = (await admin.get("/api/admin/audit", params={"limit": 3})).json()["items"]
    assert [("price.deleted", model), ("price.stored", model), ("tenant.created", slug)] == [
        (item["action"], item["target"]) for item in items
    ]
    assert {"input_usd": 1, "output_usd": 2.5}.items() <= items[1]["detail"].items()
    assert all(item["request_id"] and item["actor"].startswith("key:") for item in items)


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"since": "yesterday"}, "since"),
        ({"since": "0.5"}, "since"),
        ({"until": "\0"}, "until"),
        ({"until": "2026-13-01T00:00:00Z"}, "until"),
        ({"since": "2026-02-30"}, "since"),
        ({"since": "2026-3-1"}, "since"),
        ({"actor": "a\0"}, "actor"),
        ({"actor": "ada@example.com"}, "actor"),
        ({"actor": "user:1"}, "actor"),
        ({"actor": "System"}, "actor"),
        ({"action": "người"}, "action"),
        ({"action": "%' OR true --"}, "action"),
        ({"action": "user.created.twice"}, "action"),
        ({"result": "okay"}, "result"),
        ({"result": "TOOL_TIMEOUT"}, "result"),
        ({"action": "\0"}, "action"),
        ({"target": "x" * 301}, "target"),
        ({"result": "\0"}, "result"),
        ({"cursor": "x"}, "cursor"),
        ({"limit": 101}, "limit"),
        ({"limit": 2**63}, "limit"),
        ({"limit": "NaN"}, "limit"),
    ],
)
async def test_a_wrong_question_is_refused_with_the_field(
    api: httpx.AsyncClient, owner: TestTenant, params: dict[str, Any], field: str
) -> None:
    answer = await api.get("/api/audit", params=params, headers=owner.headers)
    assert (400, field) == (answer.status_code, answer.json()["errors"][0]["field"])


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        (
            "result=error",
            "result must be ok, denied, failed, cancelled, succeeded, or a tool's error code such as tool_timeout.",
        ),
        (
            "actor=ada@example.com",
            "actor must be user:ID, key:ID or identity_provider:ID with the id in full, anonymous, or system.",
        ),
        ("action=User", "action must be a noun, such as user, or noun.verb, such as user.created."),
        (
            "since=2026-03-01T07:00:00+07:00",
            "since must be a date such as 2026-01-31, an ISO 8601 time such as 2026-01-31T12:00:00Z, or how long ago, such as "
            "15m or 7d. A + in a query string means a space: write it as %2B.",
        ),
        (
            "until=now",
            "until must be a date such as 2026-01-31, an ISO 8601 time such as 2026-01-31T12:00:00Z, or how long ago, such as "
            "15m or 7d.",
        ),
    ],
)
async def test_a_refusal_says_what_is_right(
    api: httpx.AsyncClient, owner: TestTenant, query: str, sentence: str
) -> None:
    answer = await api.get(f"/api/audit?{query}", headers=owner.headers)
    assert (400, sentence) == (answer.status_code, answer.json()["detail"])


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
async def test_the_ends_of_time_are_read(api: httpx.AsyncClient, log: TestTenant, moment: str) -> None:
    late = moment.startswith("9999")
    assert ([] if late else [5, 4, 3, 2, 1, 0]) == await places(api, log, since=moment)
