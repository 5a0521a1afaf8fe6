"""What the API's own document says that there is: every operation, the right that it needs, every field that it takes.

A field is named by its place: `path.job_id`, `query.limit`, `header.Last-Event-ID`, `body.ids[]`, `body.owner.email`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from litestar.handlers import HTTPRouteHandler

from api.auth.principals import is_ours
from tests.openapi_document import documented_app, openapi_document

TYPES = re.compile(r":\w+}")
PAGES = ("/schema/", "/console")
METHODS = ("get", "put", "post", "patch", "delete", "head", "options", "trace")


@dataclass(frozen=True)
class Operation:
    """One method of one path. `fields` are those whose schema leaves open whether they name something: text, ids, objects
    of any shape; numbers, times and choices can't. `ids` are those that are ids by their schema."""

    method: str
    path: str
    right: str | None
    answers: frozenset[int]
    fields: frozenset[str]
    ids: frozenset[str]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def is_openai(self) -> bool:
        return self.path.startswith("/v1/") and not self.is_anthropic

    @property
    def is_anthropic(self) -> bool:
        return self.path.startswith("/v1/messages")


@cache
def by_name() -> dict[str, Operation]:
    """Every operation of the document, by `METHOD path`."""
    document = openapi_document()
    found = (
        _operation(method, path, described, document)
        for path, item in sorted(document["paths"].items())
        for method, described in item.items()
        if method in METHODS
    )
    return {str(operation): operation for operation in found}


def undocumented() -> list[str]:
    """Every route of ours that the document leaves out; the pages that show the document are no part of it."""
    return sorted(
        f"{method} {path}"
        for route in documented_app().routes
        for handler in getattr(route, "route_handlers", ())
        if isinstance(handler, HTTPRouteHandler) and is_ours(handler) and not route.path.startswith(PAGES)
        for method in handler.http_methods
        if f"{method} {(path := TYPES.sub('}', route.path_format))}" not in by_name()
    )


def _operation(method: str, path: str, described: dict[str, Any], document: dict[str, Any]) -> Operation:
    leaves = dict(_leaves_of(described, document["components"]["schemas"]))
    rights = {right for way in described.get("security") or () for scopes in way.values() for right in scopes}
    assert len(rights) <= 1, f"{method} {path} names several rights: {rights}"
    return Operation(
        method=method.upper(),
        path=path,
        right=next(iter(rights), None),
        answers=frozenset(int(status) for status in described["responses"]),
        fields=frozenset(place for place, leaf in leaves.items() if not _is_plain(leaf)),
        ids=frozenset(place for place, leaf in leaves.items() if leaf.get("format") == "uuid"),
    )


def _leaves_of(described: dict[str, Any], shapes: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for parameter in described.get("parameters", ()):
        if "$ref" in parameter:
            continue  # headers that many routes share; none names anything that a tenant has
        yield from _leaves(parameter["schema"], f"{parameter['in']}.{parameter['name']}", shapes)
    for content in described.get("requestBody", {}).get("content", {}).values():
        yield from _leaves(content["schema"], "body", shapes)


def _leaves(
    schema: dict[str, Any], place: str, shapes: dict[str, Any], within: tuple[str, ...] = ()
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the fields of a schema that hold values. Of a field that may be of several types the open one is told last."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        if name not in within:
            yield from _leaves(shapes[name], place, shapes, (*within, name))
        return
    ways = [*schema.get("oneOf", ()), *schema.get("anyOf", ()), *schema.get("allOf", ())]
    if ways and not _is_time(schema):
        found = [leaf for way in ways for leaf in _leaves(way, place, shapes, within)]
        yield from sorted(found, key=lambda leaf: (not _is_plain(leaf[1]), leaf[1].get("format") == "uuid"))
    elif "properties" in schema:
        for name, inner in schema["properties"].items():
            yield from _leaves(inner, f"{place}.{name}", shapes, within)
    elif "items" in schema:
        yield from _leaves(schema["items"], f"{place}[]", shapes, within)
    else:
        yield place, schema


def _is_time(schema: dict[str, Any]) -> bool:
    return schema.get("format") in ("date", "date-time")


def _is_plain(leaf: dict[str, Any]) -> bool:
    """Whether a value of this schema can't name anything that a tenant has."""
    types = leaf.get("type", ())
    types = {types} if isinstance(types, str) else set(types)
    closed = bool(types) and types <= {"integer", "number", "boolean", "null"}
    return closed or _is_time(leaf) or "enum" in leaf or "const" in leaf
