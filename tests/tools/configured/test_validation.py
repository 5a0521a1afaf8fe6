"""Every mistake in a row is found before the row is stored, and the complaint names the field."""

from typing import Any

import msgspec
import pytest

from schema.errors import EgressRefused, InputError
from schema.tool_kinds import TOOL_KINDS
from tools.configured import ToolDefinition, build_tool, check_definition
from tools.configured.kinds import KINDS
from tools.egress import EgressPolicy
from tools.parameter_schema import check_schema

ID = {"type": "object", "properties": {"id": {"type": "string"}, "day": {"type": "string"}}, "required": ["id"]}
GET = {"name": "get_item", "kind": "HTTP_GET", "description": "An item", "endpoint": "https://api.example.com/items"}
GET |= {"parameters": ID}
POST = {**GET, "name": "add_item", "kind": "HTTP_POST"}
SQL = {"name": "orders", "kind": "SQL", "description": "Orders", "parameters": ID, "config": {"data_source": "shop"}}
SQL |= {"config": {"data_source": "shop", "statement": "SELECT * FROM shop.orders WHERE id = :id"}}
RAG = {"name": "handbook", "kind": "RAG", "description": "The handbook", "config": {"collection": "handbook"}}
OCR = {"name": "read_scan", "kind": "OCR", "description": "Reads scans"}
CUBE = {"name": "sales", "kind": "CUBE", "description": "Sales", "endpoint": "https://cube.example.com"}
CUBE |= {"config": {"measures": ["Orders.total"], "dimensions": ["Orders.city", "Orders.day"]}}
VALID_ROWS: dict[str, dict[str, Any]] = {
    **{"HTTP_GET": GET, "HTTP_POST": POST, "SQL": SQL, "RAG": RAG, "OCR": OCR, "CUBE": CUBE},
}

INVALID_CHANGES: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    (GET, {"name": "1st"}, "name"),
    (GET, {"name": "a b"}, "name"),
    (GET, {"name": "get_item\n"}, "name"),
    (GET, {"name": "x" * 65}, "name"),
    (GET, {"kind": "HTTP_DELETE"}, "kind"),
    (GET, {"description": ""}, "description"),
    (GET, {"description": " \n "}, "description"),
    (GET, {"description": "x" * 4001}, "description"),
    (GET, {"priority": 1001}, "priority"),
    (GET, {"priority": -1}, "priority"),
    (GET, {"timeout_s": 0}, "timeout_s"),
    (GET, {"timeout_s": 121}, "timeout_s"),
    (GET, {"timeout_s": float("nan")}, "timeout_s"),
    (GET, {"max_bytes": 10}, "max_bytes"),
    (GET, {"output_format": "xml"}, "output_format"),
    (GET, {"renderer": {}}, "renderer.type"),
    (GET, {"renderer": {"type": "<script>"}}, "renderer.type"),
    (GET, {"renderer": {"type": "table", "fields": "due"}}, "renderer.fields"),
    (GET, {"renderer": {"type": "table", "about": "x" * 5000}}, "renderer"),
    (GET, {"endpoint": None}, "endpoint"),
    (GET, {"headers": {"X-A": 1}}, "headers"),
    (GET, {"headers": {"x-a": "1", "X-A": "2"}}, "headers.X-A"),
    (GET, {"parameters": {"type": "array"}}, "parameters"),
    (GET, {"parameters": {"type": "object", "properties": {"id": {"type": "strin"}}}}, "parameters.properties.id.type"),
    (GET, {"parameters": {"type": "object", "required": "id"}}, "parameters.required"),
    (GET, {"parameters": {"$ref": "https://evil.example/schema"}}, "parameters.$ref"),
    (GET, {"config": {"querry": {}}}, "config.querry"),
    (GET, {"config": {"body": {}}}, "config.body"),
    (GET, {"config": {"query": ["id"]}}, "config.query"),
    (GET, {"config": {"query": {"q": "unknown"}}}, "config.query.q"),
    (GET, {"config": {"query": {"": "id"}}}, "config.query"),
    (GET, {"config": {"result": "data"}}, "config.result"),
    (GET, {"config": {"result": "/~2"}}, "config.result"),
    (GET, {"config": {"pass_caller_token": "yes"}}, "config.pass_caller_token"),
    (GET, {"config": {"authorization": "anybody"}}, "config.authorization"),
    (GET, {"config": {"authorization": "identity_provider", "pass_caller_token": False}}, "config.authorization"),
    (
        GET,
        {"config": {"authorization": "identity_provider"}, "headers": {"Authorization": "Bearer canary"}},
        "headers.Authorization",
    ),
    (
        GET,
        {"config": {"pass_caller_token": True}, "headers": {"Authorization": "Bearer canary"}},
        "headers.Authorization",
    ),
    (POST, {"config": {"body": {"id": "{unknown}"}}}, "config.body"),
    (POST, {"config": {"body": {"{id}": "x"}}}, "config.body"),
    (POST, {"config": {"body": {"key": "{{secret:KEY}}"}}}, "config.body.key"),
    (RAG, {"endpoint": "https://api.example.com"}, "endpoint"),
    (RAG, {"headers": {"X-A": "1"}}, "headers"),
    (RAG, {"config": {"k": 0}}, "config.k"),
    (RAG, {"config": {"k": 21}}, "config.k"),
    (RAG, {"config": {"collection": ""}}, "config.collection"),
    (RAG, {"parameters": ID}, "config.query"),
    (SQL, {"config": {}}, "config.data_source"),
    (SQL, {"config": {"data_source": "shop", "sql": "SELECT 1"}}, "config.sql"),
    (SQL, {"config": {"data_source": "shop"}}, "parameters"),
    *(
        (SQL, {"config": {"data_source": "shop", "statement": statement}}, "config.statement")
        for statement in (
            "DROP TABLE shop.orders",
            "SELECT 1; DELETE FROM shop.orders",
            "SELECT * FROM orders",
            "SELECT pg_read_file('/etc/passwd')",
            "SELECT * FROM shop.orders WHERE id = :unknown",
            "SELECT * FROM shop.orders WHERE",
            "",
        )
    ),
    (OCR, {"headers": {"X-A": "1"}}, "headers"),
    (OCR, {"config": {"pass_caller_token": False}}, "config.pass_caller_token"),
    (OCR, {"config": {"field": "a\r\nb"}, "endpoint": "https://ocr.example.com"}, "config.field"),
    (OCR, {"endpoint": "https://127.0.0.1/ocr"}, "endpoint"),
    (OCR, {"parameters": ID}, "config.file"),
    (CUBE, {"endpoint": None}, "endpoint"),
    (CUBE, {"config": {}}, "config"),
    (CUBE, {"config": {"measures": ["total"]}}, "config.measures.0"),
    (CUBE, {"config": {"measures": ["Orders.total"], "query": {}}}, "config.query"),
    (CUBE, {"config": {"query": {"measures": ["{what}"]}}}, "config.query"),
    (CUBE, {"config": {"measures": ["Orders.total"], "max_rows": 5001}}, "config.max_rows"),
    (CUBE, {"parameters": ID}, "parameters"),
]


def test_every_kind_has_its_line_in_the_table() -> None:
    assert set(TOOL_KINDS) == set(KINDS) == set(VALID_ROWS)


@pytest.mark.parametrize("kind", VALID_ROWS)
def test_a_right_row_becomes_a_tool_whose_output_is_data_and_never_instructions(kind: str) -> None:
    definition = msgspec.convert(VALID_ROWS[kind], ToolDefinition)
    check_definition(definition, EgressPolicy())
    spec = build_tool(definition).spec
    assert (VALID_ROWS[kind]["name"], True, kind == "HTTP_POST") == (spec.name, spec.untrusted, spec.side_effects)
    check_schema(spec.parameters)
    assert spec.parameters["properties"]


@pytest.mark.parametrize(("right", "change", "field"), INVALID_CHANGES, ids=lambda value: str(value)[:40])
def test_a_mistake_is_refused_with_the_name_of_its_field(
    right: dict[str, Any], change: dict[str, Any], field: str
) -> None:
    definition = ToolDefinition(**{**right, **change})
    with pytest.raises((InputError, EgressRefused)) as refused:
        check_definition(definition, EgressPolicy())
    assert field == refused.value.field
    assert "canary" not in refused.value.message
    assert refused.value.message.endswith(".")


def test_an_unknown_part_of_a_row_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="retries"):
        msgspec.convert({**GET, "retries": 3}, ToolDefinition)


def test_what_a_row_says_of_side_effects_counts() -> None:
    search, start = ToolDefinition(**POST, side_effects=False), ToolDefinition(**GET, side_effects=True)
    assert (False, True) == (build_tool(search).spec.side_effects, build_tool(start).spec.side_effects)


def test_limits_of_a_row_become_limits_of_the_tool() -> None:
    spec = build_tool(ToolDefinition(**GET, timeout_s=3, max_bytes=500)).spec
    assert (3, 500) == (spec.timeout_s, spec.max_bytes)


def test_a_row_and_its_tool_show_no_header_and_no_secret() -> None:
    definition = ToolDefinition(**GET, headers={"Authorization": "Bearer canary"})
    tool = build_tool(definition, secrets={"KEY": "canary"})
    assert "canary" not in f"{definition!r} {definition} {tool!r}"


def test_a_cube_offers_a_model_only_what_the_row_names() -> None:
    properties = build_tool(ToolDefinition(**CUBE)).spec.parameters["properties"]
    assert ["Orders.total"] == properties["measures"]["items"]["enum"]
    assert ["Orders.city", "Orders.day"] == properties["dimensions"]["items"]["enum"]
    assert {"Orders.total", "Orders.city", "Orders.day"} == set(
        properties["filters"]["items"]["properties"]["member"]["enum"]
    )
