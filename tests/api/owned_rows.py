"""What tests of what owners manage share: tools, grants, rows as they are stored."""

from typing import Any, LiteralString
from uuid import uuid4

import httpx
import psycopg
from psycopg.rows import dict_row

from tests.conftest import TestTenant

TOOLS = "/api/admin/tools"
SECRET = "canary-4f1a-key"
SKU: dict[str, Any] = {"type": "object", "properties": {"sku": {"type": "string"}}, "required": ["sku"]}


def some_tool() -> str:
    return f"tool_{uuid4().hex[:8]}"


def tool_row(name: str = "", **fields: Any) -> dict[str, Any]:
    said = {"name": name or some_tool(), "kind": "HTTP_GET", "description": "Asks."}
    return {**said, "endpoint": "https://erp.example.com/stock", **fields}


async def make_tool(api: httpx.AsyncClient, **fields: Any) -> str:
    return await make(api, TOOLS, tool_row(**fields))


async def make(api: httpx.AsyncClient, path: str, body: dict[str, Any]) -> str:
    answer = await api.post(path, json=body)
    assert 201 == answer.status_code, answer.text
    return answer.json()["name"]


def kept(database_url: str, sql: LiteralString, name: str) -> dict[str, Any]:
    """The row of this name, with what no answer tells."""
    with psycopg.connect(database_url, row_factory=dict_row) as db:
        found = db.execute(sql, (name,)).fetchone()
    assert found is not None
    return found


def grant(database_url: str, tenant: TestTenant, kind: str, name: str, overrides: str = "{}") -> None:
    with psycopg.connect(database_url) as db:
        sql = "INSERT INTO grants (tenant_id, kind, name, overrides) VALUES (%s, %s, %s, %s)"
        db.execute(sql, (tenant.id, kind, name, overrides))
