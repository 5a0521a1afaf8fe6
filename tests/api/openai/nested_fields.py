"""Every object that the methods of a vendor's SDK take within their parameters, made from the SDK's own types.

An object is reached by its path (`messages[user].content[image_url].image_url`), and filled with what its type requires. The
tests put a field into it that nobody knows, and look for what becomes of it.
"""

import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

import typing_extensions

Object = dict[str, Any]
Values = dict[str, Any]
"""What a field is given where its type alone says too little: by `Type.field`, or by `field`."""


@dataclass(frozen=True)
class Place:
    """An object within a parameter: `make(more)` is the parameter's value with `more` in that object."""

    parameter: str
    path: str
    type: str
    make: Callable[[Object], Any]


def places(parameter: str, annotation: Any, values: Values) -> list[Place]:
    """Return the objects within a parameter, each type once in each place that has a name of its own."""
    found: dict[str, Place] = {}
    for place in _walk(parameter, annotation, parameter, lambda value: value, values, ()):
        found.setdefault(place.path, place)
    return list(found.values())


def _walk(
    parameter: str,
    annotation: Any,
    path: str,
    wrap: Callable[[Any], Any],
    values: Values,
    within: tuple[Any, ...],
) -> Iterator[Place]:
    for kind in _alternatives(annotation):
        if (item := _item(kind)) is not None:
            yield from _walk(parameter, item, path, lambda value: wrap([value]), values, within)
        elif typing_extensions.is_typeddict(kind) and kind not in within:
            at = f"{path}[{tag}]" if (tag := _tag(kind)) else path
            base = minimal(kind, values)
            yield Place(parameter, at, kind.__name__, lambda more, base=base: wrap({**base, **more}))
            for name, inner in fields(kind).items():

                def put(value: Any, name: str = name, base: Object = base) -> Any:
                    return wrap({**base, name: value})

                yield from _walk(parameter, inner, f"{at}.{name}", put, values, (*within, kind))


def minimal(kind: Any, values: Values) -> Object:
    """Return an object of a type with what it requires, and a type or a role where it has one."""
    marked = typing_extensions.get_type_hints(kind, include_extras=True)
    return {
        name: _value(f"{kind.__name__}.{name}", name, inner, values)
        for name, inner in fields(kind).items()
        if _is_required(marked[name]) or name in ("type", "role") or f"{kind.__name__}.{name}" in values
    }


def _is_required(annotation: Any) -> bool:
    """Whether a field is required: the SDKs' types have no required fields but those that say so."""
    return get_origin(annotation) in (typing.Required, typing_extensions.Required)


def fields(kind: Any) -> dict[str, Any]:
    """Return the fields of a TypedDict with their types."""
    return typing_extensions.get_type_hints(kind)


def _value(full: str, name: str, annotation: Any, values: Values) -> Any:
    if full in values or name in values:
        return values.get(full, values.get(name))
    kinds = _alternatives(annotation)
    for kind in kinds:
        if get_origin(kind) is Literal:
            return get_args(kind)[0]
    for plain, given in ((str, "x"), (bool, True), (int, 1), (float, 0.5)):
        if plain in kinds:
            return given
    for kind in kinds:
        if typing_extensions.is_typeddict(kind):
            return minimal(kind, values)
        if (item := _item(kind)) is not None:
            return [_value("", "", item, values)]
    return {}


def _alternatives(annotation: Any) -> list[Any]:
    if get_origin(annotation) in (typing.Union, types.UnionType):
        return [kind for one in get_args(annotation) for kind in _alternatives(one)]
    if isinstance(annotation, typing_extensions.TypeAliasType):
        return _alternatives(annotation.__value__)
    return [] if annotation is type(None) else [annotation]


def _item(kind: Any) -> Any:
    """Return the type of a list's items; None for what is no list."""
    origin = get_origin(kind)
    is_list = isinstance(origin, type) and origin not in (dict, Literal) and issubclass(origin, typing.Iterable)
    return get_args(kind)[0] if is_list and not issubclass(origin, typing.Mapping) else None


def _tag(kind: Any) -> str:
    """Return what an object is called among the members of its union: by its type, or a message by its role."""
    given = {name: _literal(inner) for name, inner in fields(kind).items() if name in ("role", "type")}
    type_, role = given.get("type", ""), given.get("role", "")
    return role if type_ in ("", "message") else type_


def _literal(annotation: Any) -> str:
    return next((str(get_args(kind)[0]) for kind in _alternatives(annotation) if get_origin(kind) is Literal), "")
