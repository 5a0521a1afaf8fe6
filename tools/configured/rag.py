"""`RAG`: searches one collection of documents that the caller may read. `config`: `collection` (all if missing), `k` (number of
passages), `query` (the argument with the question).
"""

from dataclasses import replace
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from tools.builtin.search_documents import to_citations
from tools.configured.definition import ToolDefinition, any_object
from tools.configured.kind import KindSpec, RunTool, Secrets, check_names, read_config
from tools.contract import ToolContext, ToolResult
from tools.egress import EgressPolicy
from tools.errors import ToolBadArguments, ToolUnavailable


class RagConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    collection: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    k: Annotated[int, Meta(ge=1, le=20)] = 5
    query: str = "query"


def check(definition: ToolDefinition, policy: EgressPolicy) -> None:
    config = read_config(definition, RagConfig)
    if definition.parameters != any_object():
        check_names(definition, {config.query: "config.query"})


def parameters(definition: ToolDefinition) -> dict[str, Any]:
    """The admin's parameters, or a single question."""
    if definition.parameters != any_object():
        return definition.parameters
    name = read_config(definition, RagConfig).query
    question = {"type": "string", "description": "What to look for", "minLength": 1, "maxLength": 2000}
    return {"type": "object", "properties": {name: question}, "required": [name], "additionalProperties": False}


def build(definition: ToolDefinition, secrets: Secrets) -> RunTool:
    config = read_config(definition, RagConfig)

    async def search(arguments: dict[str, Any], context: ToolContext) -> ToolResult:
        if context.documents is None:
            raise ToolUnavailable("No documents are set up; an admin must add a collection.")
        query = definition.with_defaults(arguments).get(config.query, arguments.get(config.query))
        if not isinstance(query, str) or not query.strip():
            raise ToolBadArguments(f"The argument {config.query} must say what to look for.", field=config.query)
        passages = await context.documents.search(query, collection=config.collection, k=config.k)
        result = to_citations(passages[: config.k])
        return replace(result, renderer=(definition.renderer or {}).get("type", result.renderer))

    return search


KIND = KindSpec(check=check, build=build, parameters=parameters, finds_passages=True)
