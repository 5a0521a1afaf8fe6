"""Schemas for servers that make grammars of them: what such a grammar can't say is left out, all else stays as it was."""

import json
from typing import Any

import pytest

from graphs.providers.errors import SchemaUnsupported, ToolsUnsupported
from graphs.providers.grammar_schemas import reduce_format, reduce_schema
from graphs.providers.ollama.wire_format import request_body
from graphs.providers.openai.provider import OpenAICompatible
from graphs.providers.openai.vendors import VENDORS
from graphs.providers.prompted_tools.provider import NativeOrPromptedTools
from graphs.providers.registry import open_session
from tests.conformance.dialects import OpenAIDialect
from tests.counterparts.raw_server import RawAnswer, RawServer
from tests.graphs.model_requests import PATIENT, ask, collect, text_of

WIRE = OpenAIDialect()
LONG = {"type": "object", "properties": {"said": {"type": "string", "maxLength": 2000}}, "required": ["said"]}
SHORT = {"type": "object", "properties": {"said": {"type": "string"}}, "required": ["said"]}
TOOLS = ({"type": "function", "function": {"name": "say", "description": "Says it", "parameters": LONG}},)
REFUSED = RawAnswer(
    (b'{"error":{"code":400,"message":"Failed to initialize samplers: failed to parse grammar","type":"x"}}',),
    400,
    "application/json",
)
SAID = RawAnswer((WIRE.words("said"), WIRE.end()))


@pytest.mark.parametrize(
    ("schema", "reduced"),
    [
        ({"type": "string", "maxLength": 2000, "minLength": 3}, {"type": "string", "minLength": 3}),
        ({"type": "string", "maxLength": 1000}, {"type": "string", "maxLength": 1000}),
        ({"type": "array", "items": {"pattern": "^\\d+$"}, "maxItems": 5000}, {"type": "array", "items": {}}),
        ({"type": "string", "pattern": "^[a-z]{2,9}$"}, {"type": "string", "pattern": "^[a-z]{2,9}$"}),
        ({"type": "string", "pattern": "^a{1,2000}$"}, {"type": "string"}),
        ({"type": "string", "pattern": "^(?=a)b$"}, {"type": "string"}),
        ({"type": "integer", "minimum": -(2**63), "maximum": 9}, {"type": "integer", "maximum": 9}),
        ({"anyOf": [{"type": "string", "maxLength": 2**31}, True]}, {"anyOf": [{"type": "string"}, {}]}),
        ({"type": "array", "items": True, "uniqueItems": True}, {"type": "array", "items": {}}),
        ({"type": "object", "additionalProperties": False}, {"type": "object", "additionalProperties": False}),
        ({"$defs": {"a": {"not": {}}}, "$ref": "#/$defs/a"}, {"$defs": {"a": {}}, "$ref": "#/$defs/a"}),
        (
            {"properties": {"maxLength": {"type": "string"}, "not": {}}},
            {"properties": {"maxLength": {"type": "string"}, "not": {}}},
        ),
        ({"maxLength": "7", "enum": [2000], "default": {"not": 1}}, {"enum": [2000], "default": {"not": 1}}),
    ],
)
def test_what_a_grammar_cannot_say_is_left_out(schema: dict[str, Any], reduced: dict[str, Any]):
    assert json.dumps(reduced) == json.dumps(reduce_schema(schema))


def test_only_formats_with_a_schema_change():
    assert reduce_format(None) is None
    assert reduce_format({"type": "json_object"}) == {"type": "json_object"}
    named = {"type": "json_schema", "json_schema": {"name": "a", "strict": True, "schema": LONG}}
    assert reduce_format(named) == {
        "type": "json_schema",
        "json_schema": {"name": "a", "strict": True, "schema": SHORT},
    }
    assert json.loads(request_body(ask("m", response_format=named)))["format"] == SHORT


async def test_a_server_that_is_known_to_make_grammars_gets_reduced_schemas_at_once():
    async with RawServer(SAID) as server, open_session() as session:
        provider = OpenAICompatible(session, VENDORS["llamacpp"].at(f"{server.url}/v1"), timeouts=PATIENT)
        await collect(provider, ask("m", tools=TOOLS))

    assert [SHORT] == [record.body["tools"][0]["function"]["parameters"] for record in server.requests]


async def test_any_other_server_gets_them_once_it_has_refused_one():
    async with RawServer(SAID, REFUSED, SAID) as server, open_session() as session:
        provider = OpenAICompatible(session, VENDORS["openai"].at(f"{server.url}/v1"), timeouts=PATIENT)
        said = [text_of(await collect(provider, ask("m", tools=TOOLS))) for _ in range(3)]

    sent = [record.body["tools"][0]["function"]["parameters"] for record in server.requests]
    assert [LONG, LONG, SHORT, SHORT] == sent
    assert ["said"] * 3 == said


async def test_a_schema_that_stays_too_much_leads_to_prompted_tools():
    async with RawServer(REFUSED, REFUSED, SAID) as server, open_session() as session:
        provider = OpenAICompatible(session, VENDORS["openai"].at(f"{server.url}/v1"), timeouts=PATIENT)
        said = text_of(await collect(NativeOrPromptedTools(provider), ask("m", tools=TOOLS)))

    assert said == "said"
    assert "tools" not in server.requests[-1].body
    assert "Says it" in server.requests[-1].body["messages"][0]["content"]
    assert issubclass(SchemaUnsupported, ToolsUnsupported)
