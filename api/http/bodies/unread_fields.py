"""What a valid body has that no struct of ours reads: typed decoding drops it, and callers are told so in a header.

Not for: objects without a struct of their own (tools, schemas), whose readers know what they read.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

from msgspec import inspect

Node = inspect.Type

NOTHING = (None, "", [], {})
"""Values of fields that say nothing: clients send back what a vendor's answer had."""


def unread_fields(value: Any, type_: Any, path: str = "") -> list[str]:
    """Return the names of fields that `type_` doesn't know, in the objects of a decoded value that it accepts, as `path.a.b`:
    each once, without the places in lists."""
    return list(dict.fromkeys(_unread(value, _node(type_), path)))


def _unread(value: Any, node: Node, path: str) -> Iterator[str]:
    if isinstance(value, list):
        for kind in _kinds(node, inspect.ListType):
            for one in value:
                yield from _unread(one, kind.item_type, path)
    elif isinstance(value, dict) and (known := _fields_of(node, value)) is not None:
        for name, inner in value.items():
            at = f"{path}.{name}" if path else name
            if name in known:
                yield from _unread(inner, known[name], at)
            elif inner not in NOTHING:
                yield at


def _fields_of(node: Node, value: dict[str, Any]) -> dict[str, Node] | None:
    """Return the fields of the struct that an object is read as; None if all of it is kept, as it came."""
    structs = _kinds(node, inspect.StructType)
    tagged = [one for one in structs if one.tag_field and value.get(one.tag_field) == one.tag]
    chosen = tagged or [one for one in structs if not one.tag_field]
    return _fields(chosen[0].cls) if chosen else None


def _kinds(node: Node, kind: Any) -> list[Any]:
    """Return the members of a union that are of a kind, or the type itself."""
    if isinstance(node, inspect.Metadata):
        return _kinds(node.type, kind)
    if isinstance(node, inspect.UnionType):
        return [found for one in node.types for found in _kinds(one, kind)]
    return [node] if isinstance(node, kind) else []


@cache
def _node(type_: Any) -> Node:
    return inspect.type_info(type_)


@cache
def _fields(struct: Any) -> dict[str, Node]:
    info = _node(struct)
    assert isinstance(info, inspect.StructType)
    own = {info.tag_field: inspect.AnyType()} if info.tag_field else {}
    return {**own, **{field.encode_name: field.type for field in info.fields}}
