"""Agents and tools as rows, for journeys that are not about making them; and the model's script, set over the wire."""

from typing import Any
from uuid import UUID

import aiohttp
import psycopg
from psycopg.types.json import Jsonb

from schema.ids import new_id
from tests.conftest import TestTenant
from tools.erp.definitions import definitions

DEBT = {
    "description": "Debts of customers: what a customer owes, overdue invoices, credit limits. Công nợ khách hàng theo MST.",
    "examples": ["What is the debt for customer MST 0104985841?", "Khách hàng 0104985841 còn nợ bao nhiêu?"],
    "tools": ["get_customer_debt", "list_invoices", "send_reminder"],
}
SHIPMENT = {
    "description": "Shipments: where a delivery is, when it arrives. Vận đơn, giao hàng.",
    "examples": ["Where is shipment VD1007?", "Đơn hàng VD1007 đang ở đâu?"],
    "tools": ["get_shipment"],
}


def add_agent(database_url: str, tenant: TestTenant, name: str, **columns: Any) -> UUID:
    """Give a tenant an agent of its own."""
    row: dict[str, Any] = {"description": name, "examples": [], "prompt": f"You are {name}.", "models": [], "tools": []}
    row |= columns
    return _add(database_url, "agents", tenant, name, row)


def add_tools(database_url: str, tenant: TestTenant, erp_url: str) -> None:
    """Give a tenant the tools of the ERP."""
    for row in definitions(erp_url):
        columns = {"kind": row["kind"], "definition": row, "priority": row.get("priority", 100)}
        _add(database_url, "tools", tenant, row["name"], columns)


def add_http_tool(database_url: str, tenant: TestTenant, name: str, endpoint: str, kind: str = "HTTP_POST") -> None:
    """Give a tenant a tool that calls a service on this machine, which it may reach; `{gate}` is its argument."""
    parameters = {"type": "object", "properties": {"gate": {"type": "string"}}, "required": ["gate"]}
    definition = {"name": name, "kind": kind, "description": f"{name} a gate", "parameters": parameters}
    columns = {"kind": kind, "definition": {**definition, "endpoint": endpoint}}
    _add(database_url, "tools", tenant, name, columns)
    with psycopg.connect(database_url) as db:
        sql = (
            "INSERT INTO egress_grants (tenant_id, use, host) VALUES (%s, 'tools', '127.0.0.1') ON CONFLICT DO NOTHING"
        )
        db.execute(sql, (tenant.id,))


def grant_tools(database_url: str, tenant: TestTenant, *names: str) -> None:
    """Let a tenant use tools that are code."""
    with psycopg.connect(database_url) as db:
        for name in names:
            db.execute(
                "INSERT INTO grants (tenant_id, kind, name, overrides) VALUES (%s, 'tool', %s, '{}')", (tenant.id, name)
            )


def _add(database_url: str, table: str, tenant: TestTenant, name: str, columns: dict[str, Any]) -> UUID:
    row_id = new_id()
    row = {"tenant_id": tenant.id, "id": row_id, "name": name, **columns}
    values = {key: Jsonb(value) if isinstance(value, (dict, list)) else value for key, value in row.items()}
    places = ", ".join(f"%({key})s" for key in row)
    with psycopg.connect(database_url) as db:
        db.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", values)
    return row_id


async def script(model_url: str, model: str, *turns: dict[str, Any]) -> None:
    """Have the model answer `turns` ({said, calls: [[name, arguments]], status}), one a request."""
    body = {"model": model, "turns": turns}
    async with aiohttp.ClientSession() as http, http.post(f"{model_url}/_script", json=body) as answer:
        assert 200 == answer.status, await answer.text()
