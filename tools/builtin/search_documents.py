"""`search_documents`: finds passages in the caller's documents that match a question, numbered for citation."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tools.contract import FunctionTool, Passage, Tool, ToolContext, ToolResult, ToolSpec
from tools.errors import ToolUnavailable

NO_PASSAGES = "Not in the documents: no passage fits. Say so."
NOTHING_FOUND_BEFORE = (
    "The user's documents were searched and nothing in them fits. Say that it is not in the documents."
)
"""Used instead of `NO_PASSAGES` if the documents were searched before the model was called."""
NEAREST = "Nearest to it in them, without answering it; name it in the user's language:"
MAX_NEAREST, MAX_NEAREST_CHARS = 2, 400

SPEC = ToolSpec(
    name="search_documents",
    description=(
        "Search the organisation's own documents. Returns numbered passages with document and page, which are near to the "
        "question. Cite them as [1], [2]; where none says what is asked, say that it is not in the documents, and what is "
        "nearest."
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
    finds_passages=True,
)


async def search(arguments: dict[str, Any], context: ToolContext) -> ToolResult:
    """`data` is `{"passages": […]}` with the fields of `Passage` and its number.
    Raises ToolUnavailable if documents are not set up."""
    if context.documents is None:
        raise ToolUnavailable("Document search is not set up here; continue without it.")
    passages = await context.documents.search(
        arguments["query"], collection=arguments.get("collection"), k=arguments.get("max_results", 5)
    )
    return to_citations(passages)


def to_citations(passages: Sequence[Passage]) -> ToolResult:
    """The passages as a result, numbered for citation. Near misses are named, and no sources of an answer."""
    answering = [passage for passage in passages if not passage.near_miss]
    if not answering:
        data = [asdict(passage) for passage in passages[:MAX_NEAREST]]
        text = "\n".join([NO_PASSAGES, *format_nearest(data)])
        return ToolResult(text, {"passages": []} | ({"nearest": data} if data else {}), renderer="citations")
    data = [{"number": number, **asdict(passage)} for number, passage in enumerate(answering, 1)]
    return ToolResult(format_passages(data), {"passages": data}, renderer="citations")


def format_passages(passages: Sequence[Mapping[str, Any]]) -> str:
    """Format numbered passages for a model: `[1] (document, page, heading)`, then the text without blank lines, which
    separate passages."""
    return "\n\n".join(
        f"[{passage['number']}] ({_source(passage)})\n{_without_blank_lines(passage['text'])}" for passage in passages
    )


def format_nearest(passages: Sequence[Mapping[str, Any]]) -> list[str]:
    """Format near misses for a model, a line each below a heading; nothing without any."""
    lines = [f"- ({_source(one)}) {' '.join(one['text'].split())[:MAX_NEAREST_CHARS]}" for one in passages]
    return [NEAREST, *lines] if lines else []


def _without_blank_lines(text: str) -> str:
    return "\n".join(line for line in text.split("\n") if line.strip())


def _source(passage: Mapping[str, Any]) -> str:
    page = f"page {passage['page']}" if passage.get("page") is not None else ""
    return ", ".join(part for part in (passage["document"], page, passage.get("heading") or "") if part)


def build() -> Tool:
    return FunctionTool(SPEC, search)
