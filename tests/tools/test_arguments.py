"""What a model writes as arguments is mended where there is one way to read it, and refused with the field elsewhere."""

import faulthandler
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from schema.errors import InputError
from tests.tools.hostile.patterns import PATTERNS
from tools.arguments import MAX_CHARACTERS, read_arguments
from tools.errors import ToolBadArguments, ToolFailed
from tools.parameter_schema import check_schema

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "count": {"type": "integer"},
        "price": {"type": "number"},
        "sure": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "inner": {"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]},
    },
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("raw", "read"),
    [
        ('{"name": "An", "count": 5}', {"name": "An", "count": 5}),
        ('```json\n{"name": "An"}\n```', {"name": "An"}),
        ("{'name': 'An', 'sure': True}", {"name": "An", "sure": True}),
        ('{"name": "An",}', {"name": "An"}),
        ('{"count": "5", "price": "1.5", "sure": "true"}', {"count": 5, "price": 1.5, "sure": True}),
        ('{"tags": "[\\"a\\"]"}', {"tags": ["a"]}),
        ('"{\\"name\\": \\"An\\"}"', {"name": "An"}),
        ('{"name": "0104985841"}', {"name": "0104985841"}),
        ("", {}),
        ("null", {}),
        ({"name": "An"}, {"name": "An"}),
    ],
)
def test_arguments_are_read_as_they_were_meant(raw: str | dict[str, Any], read: dict[str, Any]) -> None:
    assert read == read_arguments(raw, SCHEMA)


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ('{"count": "5.5"}', "count"),
        ('{"count": "007"}', "count"),
        ('{"price": 1e999}', None),
        ('{"price": NaN}', None),
        ('{"name": ""}', "name"),
        ('{"tags": ["a", 1]}', "tags.1"),
        ('{"inner": {}}', "inner.code"),
        ('{"other": 1}', "other"),
        ("[1]", None),
        ("name: An", None),
        ("__import__('os').system('id')", None),
        ("{'name': open('/etc/passwd').read()}", None),
        ("[" * 100_000, None),
        ('{"inner":' * 50 + "1" + "}" * 50, None),
        ("9" * 5_000, None),
    ],
)
def test_arguments_that_do_not_fit_name_the_field(raw: str, field: str | None) -> None:
    with pytest.raises(ToolBadArguments) as caught:
        read_arguments(raw, SCHEMA)
    assert field == caught.value.field


@pytest.mark.parametrize(
    ("arguments", "field", "sentence"),
    [
        ({"colour": 1, "sku": "a"}, "colour", "Unknown argument colour. Known arguments: sku, amount, lines, unit."),
        ({}, "sku", "The argument sku is required."),
        ({"sku": 1}, "sku", "sku must be a string."),
        ({"sku": "a", "amount": 0}, "amount", "amount must be at least 1."),
        ({"sku": "a", "amount": 9}, "amount", "amount must be at most 5."),
        ({"sku": "a", "lines": [{"x": 1}]}, "lines.0.x", "Unknown argument lines.0.x."),
        ({"sku": "a", "unit": "ft"}, "unit", "unit must be m or km."),
        ({"sku": "a", "unit": 5}, "unit", "unit must be m or km."),
    ],
)
def test_arguments_that_do_not_fit_are_refused_in_plain_words(
    arguments: dict[str, Any], field: str, sentence: str
) -> None:
    schema = {
        "type": "object",
        "properties": {
            "sku": {"type": "string"},
            "amount": {"type": "integer", "minimum": 1, "maximum": 5},
            "lines": {"type": "array", "items": {"properties": {"sku": {}}, "additionalProperties": False}},
            "unit": {"enum": ["m", "km"]},
        },
        "required": ["sku"],
        "additionalProperties": False,
    }
    with pytest.raises(ToolBadArguments) as caught:
        read_arguments(arguments, schema)
    assert (field, sentence) == (caught.value.field, caught.value.message)


def test_arguments_that_are_too_long_are_refused_unread() -> None:
    with pytest.raises(ToolFailed) as caught:
        read_arguments("x" * (MAX_CHARACTERS + 1), SCHEMA)
    assert "tool_too_large" == caught.value.code


def test_a_secret_in_the_arguments_is_not_repeated_in_the_error() -> None:
    with pytest.raises(ToolBadArguments) as caught:
        read_arguments({"count": "sk-secret"}, SCHEMA)
    assert "sk-secret" not in caught.value.message


@pytest.mark.parametrize(
    ("schema", "field"),
    [
        ("no schema", "parameters"),
        ({"type": "array"}, "parameters"),
        ({"type": "object", "properties": {"a": {"type": "text"}}}, "parameters.properties.a.type"),
        ({"type": "object", "required": "a"}, "parameters.required"),
        ({"properties": {"a": {"$ref": "https://evil.example/s.json"}}}, "parameters.properties.a.$ref"),
        ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "parameters.properties.a.$ref"),
        ({"properties": {"a": {"$ref": "#/$defs/none"}}}, "parameters"),
        ({"$defs": {"a": {"$ref": "#/$defs/a"}}, "properties": {"a": {"$ref": "#/$defs/a"}}}, "parameters"),
        ({"$schema": "https://evil.example/"}, "parameters.$schema"),
        ({"$id": "https://evil.example/"}, "parameters.$id"),
        ({"properties": {"a": {"pattern": "("}}}, None),
        ({"properties": {"a": {"enum": ["x" * 70_000]}}}, "parameters"),
        ({"properties": {"a": {"const": float("nan")}}}, "parameters"),
        ({"properties": {"a": {"const": {1, 2}}}}, "parameters"),
    ],
)
def test_a_schema_that_is_none_names_the_place(schema: Any, field: str | None) -> None:
    with pytest.raises(InputError) as caught:
        check_schema(schema)
    if field is not None:
        assert field == caught.value.field


def test_a_schema_that_multiplies_by_references_is_refused() -> None:
    steps = {f"s{n}": {"allOf": [{"$ref": f"#/$defs/s{n + 1}"}] * 2} for n in range(22)}
    schema = {"$defs": {**steps, "s22": {"type": "string"}}, "properties": {"a": {"$ref": "#/$defs/s0"}}}
    with pytest.raises(InputError, match="subschemas with its references"):
        check_schema(schema)


def test_a_schema_that_is_nested_too_deep_is_refused() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(20):
        schema = {"properties": {"a": schema}}
    with pytest.raises(InputError, match="16 levels"):
        check_schema(schema)


@pytest.fixture
def cap() -> Iterator[None]:
    """A pattern that runs away holds the interpreter, so only this ends it: with all stacks, after a while."""
    faulthandler.dump_traceback_later(60, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.mark.usefixtures("cap")
@pytest.mark.parametrize("number", range(len(PATTERNS)))
def test_a_hostile_pattern_is_refused_or_decided_at_once(number: int) -> None:
    pattern, text = PATTERNS[number]
    schemas = ({"properties": {"a": {"type": "string", "pattern": pattern}}}, {"patternProperties": {pattern: False}})
    for schema, arguments in zip(schemas, ({"a": text}, {text: 1}), strict=True):
        with suppress(InputError, ToolBadArguments):
            check_schema(schema)
            read_arguments(arguments, schema)


def test_a_long_name_does_not_make_a_long_error() -> None:
    with pytest.raises(ToolBadArguments) as caught:
        read_arguments({"n" * 100_000: 1}, {"additionalProperties": {"type": "string"}})
    assert len(caught.value.message) < 500
    assert len(caught.value.field or "") < 100
