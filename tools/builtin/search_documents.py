"""`search_documents`: the passages of the caller's documents that fit a question, numbered so that an answer can cite them."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tools.contract import FunctionTool, Passage, Tool, ToolContext, ToolResult, ToolSpec
from tools.errors import ToolUnavailable

SPEC = ToolSpec(
    name="search_documents",
    description=(
        "Search the organisation's own documents. Returns numbered passages with document and page. Cite them as [1], [2]; "
        "when none answers the question, say that it is not in the documents."
    ),
    parameters={
        "type": "object",
        "properties": {
            "query": {"type": "string", "description": "The question, in full", "minLength": 1, "maxLength": 1000},
            "collection": {
                "type": "string",
                "description": "Only in this collection",
                "minLength": 1,
                "maxLength": 100,
            },
            "max_results": {"type": "integer", "minimum": 1, "maximum": 20, "description": "5 if left out"},
        },
        "required": ["query"],
        "additionalProperties": False,
    },
    untrusted=True,
)


async def search(arguments: dict[str, Any], context: ToolContext) -> ToolResult:
    """`data` is `{"passages": […]}` with the fields of `Passage` and its number. Raises ToolUnavailable without documents."""
    if context.documents is None:
        raise ToolUnavailable("No documents can be searched here; go on without them.")
    passages = await context.documents.search(
        arguments["query"], collection=arguments.get("collection"), k=arguments.get("max_results", 5)
    )
    return cited(passages)


def cited(passages: Sequence[Passage]) -> ToolResult:
    """The passages as a result whose numbers an answer cites."""
    if not passages:
        return ToolResult("Not in the documents: no passage fits. Say so.", {"passages": []}, renderer="citations")
    blocks = [f"[{number}] {_source(passage)}\n{passage.text}" for number, passage in enumerate(passages, 1)]
    data = [{"number": number, **asdict(passage)} for number, passage in enumerate(passages, 1)]
    return ToolResult("\n\n".join(blocks), {"passages": data}, renderer="citations")


def _source(passage: Passage) -> str:
    page = f"page {passage.page}" if passage.page is not None else ""
    return ", ".join(part for part in (passage.document, page, passage.heading or "") if part)


def build() -> Tool:
    return FunctionTool(SPEC, search)
