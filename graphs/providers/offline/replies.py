"""The reply to a request: tool calls, or text. Applies the rules of `provider.py` in order."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from graphs.providers.contract import Message, ModelRequest
from graphs.providers.offline.conversation import CalledTool, Conversation, read_conversation
from graphs.providers.offline.fill_arguments import normalise_name
from graphs.providers.offline.fill_schema import FillContext, asks_for_agent, fill_response_format
from graphs.providers.offline.phrases import fixed_phrase
from graphs.providers.offline.results import not_in_documents, show_results
from graphs.providers.offline.texts import pick_sentences
from graphs.providers.offline.tool_choice import Plan, Tool, plan_calls, read_tools, tools_in_prompt
from tools.builtin.search_documents import NOTHING_FOUND_BEFORE

_GREETING = re.compile(
    r"^\W*(?:(?:hi|hello|hey|good (?:morning|afternoon|evening)|xin chào|chào)\b|how are you|who are you|what can you do"
    r"|what do you do|bạn là ai|bạn (?:có thể )?làm (?:được )?gì)",
    re.IGNORECASE,
)
_ROUTING_PROMPT = re.compile(r"^\W*(?:you )?(?:are a router|route\b).{0,200}\bagents?\b", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Reply:
    """Tool calls, or else text."""

    text: str = ""
    calls: tuple[CalledTool, ...] = ()


def reply(request: ModelRequest) -> Reply:
    """Return the reply to a request."""
    conversation = read_conversation(request.messages)
    if asks_for_agent(request.response_format) or _ROUTING_PROMPT.match(conversation.instructions):
        return Reply(fixed_phrase("routing", conversation.question))
    tools, forced = _offered_tools(request)
    plan = plan_calls(conversation, tools, forced=forced)
    done = {call.identity for call in conversation.called}
    calls = tuple(call for _, call in plan.calls if call.identity not in done)
    if forced and done:
        calls = ()  # the forced call has been made; forcing it again would never end
    if calls:
        return Reply(calls=calls[:1] if request.parallel_tool_calls is False else calls)
    answer_text = _answer_text(conversation, plan)
    if (request.response_format or {}).get("type") in ("json_schema", "json_object"):
        return Reply(_fill_response_format(request.response_format or {}, conversation, plan, tools, answer_text))
    return Reply(answer_text)


def answer(messages: Sequence[Message]) -> str:
    """Return the full answer to a conversation without tools."""
    return reply(ModelRequest(model="", messages=tuple(messages))).text


def _offered_tools(request: ModelRequest) -> tuple[list[Tool], bool]:
    """Return the tools that may be called, and whether one must be."""
    tools = read_tools(request.tools)
    match request.tool_choice:
        case "none":
            return [], False
        case "required" | "any":
            return tools, bool(tools)
        case {"function": {"name": str(name)}}:
            named = [tool for tool in tools if tool.name == name]
            return named, bool(named)
    return tools, False


def _fill_response_format(
    response_format: dict[str, Any], conversation: Conversation, plan: Plan, tools: list[Tool], answer_text: str
) -> str:
    """Return JSON for a response format. If no tools are offered, use those that the prompt lists, as planners do."""
    if not tools:
        tools = tools_in_prompt(conversation.instructions)
        plan = plan_calls(conversation, tools)
    return msgspec.json.encode(
        fill_response_format(response_format, FillContext(conversation, plan, tools, answer_text))
    ).decode()


def _answer_text(conversation: Conversation, plan: Plan) -> str:
    """Return the answer in words: results and missing arguments, or quotes."""
    blocks = [show_results(conversation.question, conversation.answered)] if conversation.answered else []
    for tool, missing in plan.incomplete:
        fields = ", ".join(_described(tool, name) for name in missing)
        blocks.append(fixed_phrase("ask", conversation.question, tool=tool.name, fields=fields))
    if blocks:
        return "\n\n".join(blocks)
    if NOTHING_FOUND_BEFORE in conversation.instructions:
        return not_in_documents(conversation.question, conversation.system)
    if quotes := pick_sentences(conversation.question, conversation.quotable):
        return "\n\n".join(f"> {quote}" for quote in quotes)
    if not conversation.question.strip():
        return fixed_phrase("wordless", conversation.question)
    return fixed_phrase("greeting" if _GREETING.match(conversation.question) else "helpless", conversation.question)


def _described(tool: Tool, name: str) -> str:
    about = str((tool.properties.get(name) or {}).get("description") or "").rstrip(".")
    return f"{normalise_name(name)} ({about})" if about else normalise_name(name)
