"""`recall`: finds memories about the user by meaning."""

from typing import Any

from tools.contract import FunctionTool, Tool, ToolContext, ToolResult, ToolSpec
from tools.errors import ToolUnavailable

SPEC = ToolSpec(
    name="recall",
    description="Find what was remembered about the user in earlier conversations, by meaning.",
    parameters={
        "type": "object",
        "properties": {
            "query": {"type": "string", "description": "What to look for", "minLength": 1, "maxLength": 300},
            "max_results": {"type": "integer", "minimum": 1, "maximum": 20, "description": "5 if left out"},
        },
        "required": ["query"],
        "additionalProperties": False,
    },
)


async def recall_memories(arguments: dict[str, Any], context: ToolContext) -> ToolResult:
    """Raises ToolUnavailable if memory is not set up."""
    if context.memory is None:
        raise ToolUnavailable("Memory is not set up here; continue without it.")
    memories = await context.memory.recall(arguments["query"], arguments.get("max_results", 5))
    text = "\n".join(f"- {memory.text}" for memory in memories) or "Nothing about this was remembered."
    return ToolResult(text, {"memories": [{"id": memory.id, "text": memory.text} for memory in memories]})


def build() -> Tool:
    return FunctionTool(SPEC, recall_memories)
