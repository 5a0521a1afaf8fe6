"""Usage and what it cost, as admins, owners and people themselves see it."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest

from schema.identity.api_keys import new_api_key
from schema.ids import new_id
from schema.installation.bootstrap import ensure_api_key
from tests.conftest import TestTenant

TODAY = datetime.now(UTC).date()


@pytest.fixture
def ledger(database_url: str, owner: TestTenant) -> "Ledger":
    return Ledger(database_url, owner)


class Ledger:
    """Writes usage down as ended jobs would."""

    def __init__(self, database_url: str, tenant: TestTenant) -> None:
        self.url, self.tenant = database_url, tenant

    def add(self, day: date, nanos: int, *, model: str = "openai/a", agent: str = "", **ids: UUID | None) -> None:
        """Of `ids` there are `user` and `key`."""
        sql = """INSERT INTO usage_records (tenant_id, id, day, user_id, key_id, agent, model, jobs, input_tokens,
          output_tokens, cost_nanos) VALUES (%s, %s, %s, %s, %s, %s, %s, 1, 10, 20, %s)"""
        with psycopg.connect(self.url) as db:
            who = (ids.get("user"), ids.get("key"))
            db.execute(sql, (self.tenant.id, new_id(), day, *who, agent, model, nanos))

    def person(self, email: str) -> tuple[UUID, dict[str, str]]:
        """Make a member with a key; return the id and the headers."""
        user_id, key = new_id(), new_api_key()
        with psycopg.connect(self.url) as db:
            sql = "INSERT INTO users (tenant_id, id, email, role) VALUES (%s, %s, %s, 'member')"
            db.execute(sql, (self.tenant.id, user_id, email))
            ensure_api_key(db, self.tenant.id, key, name="own")
            db.execute("UPDATE api_keys SET user_id = %s WHERE find = %s", (user_id, key[3:11]))
        return user_id, {"Authorization": f"Bearer {key}"}

    def budgets(self, day_nanos: int | None, month_nanos: int | None) -> None:
        sql = "UPDATE tenants SET budget_day_nanos = %s, budget_month_nanos = %s WHERE id = %s"
        with psycopg.connect(self.url) as db:
            db.execute(sql, (day_nanos, month_nanos, self.tenant.id))

    async def read(self, api: httpx.AsyncClient, **params: Any) -> dict[str, Any]:
        answer = await api.get("/api/usage", params=params, headers=self.tenant.headers)
        assert 200 == answer.status_code, answer.text
        return answer.json()


async def test_usage_is_told_by_day_the_latest_first(api: httpx.AsyncClient, ledger: Ledger) -> None:
    ledger.add(TODAY, 1_500_000_000)
    ledger.add(TODAY, 500_000_000)
    ledger.add(TODAY - timedelta(days=3), 1)
    told = await ledger.read(api)
    assert [(str(TODAY), 2.0), (str(TODAY - timedelta(days=3)), 1e-9)] == [
        (r["day"], r["cost_usd"]) for r in told["rows"]
    ]
    right = {"jobs": 3, "input_tokens": 30, "output_tokens": 60, "cost_usd": 2.000000001}
    assert right | {"own_key_input_tokens": 0, "own_key_output_tokens": 0} == told["total"]
    assert (str(TODAY - timedelta(days=29)), str(TODAY), ["day"]) == (told["from"], told["to"], told["by"])


async def test_usage_is_told_by_whatever_is_asked_for(api: httpx.AsyncClient, ledger: Ledger) -> None:
    ada, _ = ledger.person("ada@example.com")
    ledger.add(TODAY, 3, model="openai/a", agent="sql", user=ada)
    ledger.add(TODAY, 2, model="openai/b")
    told = await ledger.read(api, by=["model", "user", "agent", "model"])
    assert ["model", "user", "agent"] == told["by"]
    rows = [{name: row[name] for name in ("model", "user", "agent")} for row in told["rows"]]
    assert {"model": "openai/a", "user": str(ada), "agent": "sql"} == rows[0]
    assert {"model": "openai/b", "user": None, "agent": ""} == rows[1]
    assert "day" not in told["rows"][0]


async def test_usage_is_told_by_key_so_that_each_customer_of_a_reseller_has_a_bill(
    api: httpx.AsyncClient, ledger: Ledger
) -> None:
    shop, stall = new_id(), new_id()
    for key, nanos in ((shop, 3_000_000_000), (stall, 1_000_000_000), (shop, 2_000_000_000), (None, 500_000_000)):
        ledger.add(TODAY, nanos, key=key)
    told = await ledger.read(api, by=["key"])
    assert [(str(shop), 5.0), (str(stall), 1.0), (None, 0.5)] == [(r["key"], r["cost_usd"]) for r in told["rows"]]
    told = await ledger.read(api, by=["key", "day"])
    assert {"key", "day"} < told["rows"][0].keys()


async def test_both_days_of_a_span_are_included(api: httpx.AsyncClient, ledger: Ledger) -> None:
    for day in range(1, 6):
        ledger.add(date(2026, 1, day), day)
    told = await ledger.read(api, **{"from": "2026-01-02", "to": "2026-01-04"})
    assert ["2026-01-04", "2026-01-03", "2026-01-02"] == [row["day"] for row in told["rows"]]


async def test_a_tenant_that_used_nothing_reads_nothing(api: httpx.AsyncClient, ledger: Ledger) -> None:
    told = await ledger.read(api)
    assert ([], 0, False) == (told["rows"], told["total"]["jobs"], told["more"])
    assert {"limit_usd": None, "spent_usd": 0, "percent": None, "warning": False} == told["budgets"]["day"]


@pytest.mark.parametrize(
    ("spent", "percent", "warning"),
    [(7_900_000_000, 79, False), (8_000_000_000, 80, True), (11_000_000_000, 110, True)],
)
async def test_a_budget_warns_from_its_percentage_on(
    api: httpx.AsyncClient, ledger: Ledger, spent: int, percent: float, warning: bool
) -> None:
    ledger.add(TODAY, spent)
    ledger.budgets(10_000_000_000, None)
    budget = (await ledger.read(api))["budgets"]["day"]
    assert (10, spent / 10**9, percent, warning) == tuple(
        budget[name] for name in ("limit_usd", "spent_usd", "percent", "warning")
    )


async def test_a_budget_of_nothing_is_used_up(api: httpx.AsyncClient, ledger: Ledger) -> None:
    ledger.budgets(None, 0)
    assert {"limit_usd": 0, "spent_usd": 0, "percent": 100, "warning": True} == (await ledger.read(api))["budgets"][
        "month"
    ]


async def test_people_read_what_was_used_in_their_name(api: httpx.AsyncClient, ledger: Ledger) -> None:
    ada, headers = ledger.person("ada@example.com")
    ledger.add(TODAY, 5, user=ada)
    ledger.add(TODAY, 7)
    told = (await api.get("/api/usage/me", headers=headers)).json()
    assert (1, 5e-9, True) == (told["total"]["jobs"], told["total"]["cost_usd"], "budgets" not in told)
    assert 403 == (await api.get("/api/usage", headers=headers)).status_code
    answer = await api.get("/api/usage/me", headers=ledger.tenant.headers)
    assert (403, "forbidden") == (answer.status_code, answer.json()["code"])


async def test_an_admin_reads_any_tenants_usage(admin: httpx.AsyncClient, ledger: Ledger) -> None:
    ledger.add(TODAY, 9)
    told = (await admin.get(f"/api/admin/tenants/{ledger.tenant.slug}/usage", params={"by": "model"})).json()
    assert [("openai/a", 9e-9)] == [(row["model"], row["cost_usd"]) for row in told["rows"]]


async def test_no_tenant_reads_anothers_usage(
    api: httpx.AsyncClient, ledger: Ledger, stranger: TestTenant, database_url: str
) -> None:
    Ledger(database_url, stranger).add(TODAY, 100)
    assert 0 == (await ledger.read(api))["total"]["jobs"]


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"from": "2026-02-30"}, "from"),
        ({"from": "0"}, "from"),
        ({"from": "2026-01-01T00:00:00"}, "from"),
        ({"from": "-1"}, "from"),
        ({"to": "99999-01-01"}, "to"),
        ({"from": "2026-01-02", "to": "2026-01-01"}, "from"),
        ({"from": "2025-01-01", "to": "2026-02-05"}, "from"),
        ({"by": "colour"}, "by"),
        ({"by": "day\0"}, "by"),
        ({"by": ["day"] * 9}, "by"),
    ],
)
async def test_a_wrong_span_is_refused(api: httpx.AsyncClient, owner: TestTenant, params: Any, field: str) -> None:
    answer = await api.get("/api/usage", params=params, headers=owner.headers)
    assert (400, field) == (answer.status_code, answer.json()["errors"][0]["field"])


@pytest.mark.parametrize(("first", "last"), [("2025-01-01", "2026-02-04"), (None, "0001-01-01"), ("9999-12-31",) * 2])
async def test_spans_at_the_edges_are_read(
    api: httpx.AsyncClient, ledger: Ledger, first: str | None, last: str
) -> None:
    params = {"to": last} | ({"from": first} if first else {})
    assert 0 == (await ledger.read(api, **params))["total"]["jobs"]
