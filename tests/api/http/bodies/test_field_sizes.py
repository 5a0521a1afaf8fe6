"""No field of a body is unbounded, and a bound is kept before the field is decoded."""

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
import pytest
from litestar.handlers import HTTPRouteHandler
from msgspec import Meta

from api.auth.principals import is_ours
from api.documents.upload.fields import UploadIn
from api.http.bodies.field_sizes import keep_bounds, max_bytes_of, splitter_for
from api.http.bodies.json_body import read_body
from api.http.validation_messages import member_types
from api.openai.schemas import CompletionIn
from schema.errors import InputError
from tests.openapi_document import documented_app

TOO_LARGE = "must not exceed"
MESSAGES = b'"model":"auto","messages":[{"role":"user","content":"hi"}]'


def request_structs() -> list[type[msgspec.Struct]]:
    """The type of every JSON body that a route takes; the one of uploads is read by their own handler."""
    bodies = {UploadIn: None}
    for route in documented_app().routes:
        for handler in getattr(route, "route_handlers", ()):
            if isinstance(handler, HTTPRouteHandler) and is_ours(handler) and (field := handler.parsed_data_field):
                bodies |= {kind: None for kind in member_types(field.annotation) if kind is not type(None)}
    return list(bodies)


def bounds() -> list[tuple[type[msgspec.Struct], str, int]]:
    """Every bounded field of every body: the body's type, the field's name and how many bytes it may have."""
    splitters = [(struct, splitter_for(struct)) for struct in request_structs()]
    return [
        (struct, b.name, b.max_bytes) for struct, splitter in splitters if splitter for b in splitter.bounds.values()
    ]


def unbounded(kind: Any, place: str, *, bounded: bool = False) -> Iterator[str]:
    """Yield the places in a type where a text, list or object has no maximum."""
    origin = get_origin(kind)
    if origin is Annotated:
        inner, *metadata = get_args(kind)
        yield from unbounded(inner, place, bounded=any(isinstance(m, Meta) and m.max_length for m in metadata))
    elif origin in (Union, UnionType):
        for inner in get_args(kind):
            yield from unbounded(inner, place, bounded=bounded)
    elif origin in (list, dict) or kind in (str, bytes, list, dict, Any):
        if not bounded:
            yield place
        for inner in get_args(kind):
            yield from unbounded(inner, f"{place}[]")
    elif isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        for field in msgspec.structs.fields(kind):
            yield from unbounded(field.type, f"{place}.{field.encode_name}")


def test_every_text_list_and_object_of_a_body_has_a_maximum() -> None:
    structs = request_structs()
    assert len(structs) > 30
    assert all(issubclass(struct, msgspec.Struct) for struct in structs), (
        "a body is a struct, or its fields have no names"
    )
    found = [
        place
        for struct in structs
        for field in msgspec.structs.fields(struct)
        if max_bytes_of(field.type) is None
        for place in unbounded(field.type, f"{struct.__name__}.{field.name}")
    ]
    assert found == [], 'give it a max_length, or Meta(extra={"max_bytes": …}) if its shape is open'


def test_an_unbounded_field_is_noticed() -> None:
    class Inner(msgspec.Struct):
        names: list[str]
        free: Annotated[dict[str, Any], Meta(max_length=3)]
        text: Annotated[str, Meta(max_length=3)] | None

    assert ["x.names", "x.names[]", "x.free[]", "x.free[]"] == list(unbounded(Inner, "x"))


def test_a_field_is_refused_one_byte_above_its_bound() -> None:
    bounded = bounds()
    assert len(bounded) > 25
    for struct, field, max_bytes in bounded:
        above, at = (b'{"%b":"%b"}' % (field.encode(), b"x" * (size - 2)) for size in (max_bytes + 1, max_bytes))
        with pytest.raises(InputError) as refused:
            read_body(above, struct)
        assert refused.value.field == field
        assert refused.value.message.endswith(f"{max_bytes // 1024} KB of JSON.")
        keep_bounds(at, struct)


def with_tools(*sizes: int) -> bytes:
    tools = [
        b'{"type":"function","function":{"name":"a","p":"%b"}}' % (b"x" * (size - len(EMPTY_TOOL))) for size in sizes
    ]
    return b'{%b,"tools":[%b]}' % (MESSAGES, b",".join(tools))


EMPTY_TOOL = b'{"type":"function","function":{"name":"a","p":""}}'


def test_each_tool_has_a_bound_and_all_together() -> None:
    assert len(read_body(with_tools(*[4000] * 128), CompletionIn).tools) == 128
    assert len(read_body(with_tools(100, 32 * 1024), CompletionIn).tools) == 2
    with pytest.raises(InputError, match=r"tools\[1\] must not exceed 32 KB of JSON"):
        read_body(with_tools(100, 32 * 1024 + 1), CompletionIn)
    with pytest.raises(InputError, match="tools must not exceed 512 KB of JSON"):
        read_body(with_tools(*[30 * 1024] * 20), CompletionIn)


def test_a_repeated_field_is_decoded_once_and_then_refused() -> None:
    many = b",".join([b"[]"] * 300_000)
    body = b'{%b,"response_format":[%b],"response_format":{"type":"text"}}' % (MESSAGES, many)
    with pytest.raises(InputError, match="response_format is there twice"):
        read_body(body, CompletionIn)
    assert len(keep_bounds(body, CompletionIn)) < 200


def test_metadata_is_as_wide_as_openais() -> None:
    def body(metadata: Any) -> bytes:
        return msgspec.json.encode({**msgspec.json.decode(b"{%b}" % MESSAGES), "metadata": metadata})

    assert read_body(body({f"{n:064}": "ü" * 512 for n in range(16)}), CompletionIn)
    for wrong in ({str(n): "" for n in range(17)}, {"k" * 65: ""}, {"k": "v" * 513}, {"k": 1}):
        with pytest.raises(InputError, match="metadata"):
            read_body(body(wrong), CompletionIn)


def test_long_but_allowed_bodies_are_decoded_as_before() -> None:
    text = 'naïve 😀 \\ " \n' * 50_000
    sent = {"model": "auto", "messages": [{"role": "user", "content": text}], "temperature": 0.5, "stop": ["a"]}
    found = read_body(msgspec.json.encode(sent), CompletionIn)
    assert (found.messages[0].content, found.temperature, found.stop) == (text, 0.5, ["a"])
