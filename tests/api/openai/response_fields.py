"""A whole answer with every field that an SDK's type has, made from the type: what a model server can say."""

import types
import typing
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import pydantic

Given = dict[str, Any]
"""Values by path, where the type alone says too little. Of a union the member that it names by its `type`."""


def example(model: type[pydantic.BaseModel], given: Given, path: str = "") -> dict[str, Any]:
    """Return an object of a type with all of its fields."""
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        at = f"{path}.{name}" if path else name
        value = given[at] if at in given else _value(field.annotation, given, at)
        found[field.alias or name] = value
    return found


def _value(annotation: Any, given: Given, path: str) -> Any:
    kinds = _alternatives(annotation)
    for kind in kinds:
        if get_origin(kind) is Literal:
            return get_args(kind)[-1]
        if isinstance(kind, type) and issubclass(kind, pydantic.BaseModel):
            return example(kind, given, path)
        if get_origin(kind) is list:
            return [_value(get_args(kind)[0], given, path)]
        if get_origin(kind) is dict:
            return {"x": _value(get_args(kind)[1], given, path)}
    plain = {str: f"the {path}", bool: True, int: 1 + sum(map(ord, path)) % 97, float: 0.5}
    return next((value for kind, value in plain.items() if kind in kinds), {})


def _alternatives(annotation: Any) -> list[Any]:
    if get_origin(annotation) in (typing.Union, types.UnionType):
        return [kind for one in get_args(annotation) for kind in _alternatives(one)]
    if get_origin(annotation) is typing.Annotated:
        return _alternatives(get_args(annotation)[0])
    return [] if annotation is type(None) else [annotation]


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values within an object with their paths; those of a list have the path of the list."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for inner in value:
            yield from leaves(inner, path)
    else:
        yield path, value
