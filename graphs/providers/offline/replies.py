"""One reply to one request: tool calls, or text. The order of the rules of `offline.py`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from graphs.providers.contract import Message, ModelRequest
from graphs.providers.offline.conversation import CalledTool, Conversation, read_conversation
from graphs.providers.offline.fill_arguments import plain
from graphs.providers.offline.fill_schema import Form, asks_for_agent, fill_form
from graphs.providers.offline.phrases import phrase
from graphs.providers.offline.results import show
from graphs.providers.offline.texts import pick
from graphs.providers.offline.tool_choice import Plan, Tool, listed_tools, plan_calls, read_tools
from tools.builtin.search_documents import NOTHING_FOUND_BEFORE

_GREETING = re.compile(
    r"^\W*(?:(?:hi|hello|hey|good (?:morning|afternoon|evening)|xin chào|chào)\b|how are you|who are you|what can you do"
    r"|what do you do|bạn là ai|bạn (?:có thể )?làm (?:được )?gì)",
    re.IGNORECASE,
)
_ROUTES = re.compile(r"^\W*(?:you )?(?:are a router|route\b).{0,200}\bagents?\b", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Reply:
    """Calls, or else text."""

    text: str = ""
    calls: tuple[CalledTool, ...] = ()


def reply(request: ModelRequest) -> Reply:
    """The reply to a request."""
    talk = read_conversation(request.messages)
    if asks_for_agent(request.response_format) or _ROUTES.match(talk.instructions):
        return Reply(phrase("routing", talk.question))
    tools, forced = _offered(request)
    plan = plan_calls(talk, tools, forced=forced)
    done = {call.same for call in talk.called}
    calls = tuple(call for _, call in plan.calls if call.same not in done)
    if forced and done:
        calls = ()  # what was forced has been done once; asking the same way again would never end
    if calls:
        return Reply(calls=calls[:1] if request.parallel_tool_calls is False else calls)
    said = _said(talk, plan)
    if (request.response_format or {}).get("type") in ("json_schema", "json_object"):
        return Reply(_form(request.response_format or {}, talk, plan, tools, said))
    return Reply(said)


def answer(messages: Sequence[Message]) -> str:
    """The whole answer to a conversation without tools."""
    return reply(ModelRequest(model="", messages=tuple(messages))).text


def _offered(request: ModelRequest) -> tuple[list[Tool], bool]:
    """The tools that may be called, and whether one must be."""
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


def _form(form: dict[str, Any], talk: Conversation, plan: Plan, tools: list[Tool], said: str) -> str:
    """JSON for a response format. A planner that offers no tools names them in its prompt."""
    if not tools:
        tools = listed_tools(talk.instructions)
        plan = plan_calls(talk, tools)
    return msgspec.json.encode(fill_form(form, Form(talk, plan, tools, said))).decode()


def _said(talk: Conversation, plan: Plan) -> str:
    """The answer in words: results and what is still needed, or quotes."""
    blocks = [show(talk.question, talk.answered)] if talk.answered else []
    for tool, missing in plan.open:
        fields = ", ".join(_described(tool, name) for name in missing)
        blocks.append(phrase("ask", talk.question, tool=tool.name, fields=fields))
    if blocks:
        return "\n\n".join(blocks)
    if NOTHING_FOUND_BEFORE in talk.instructions:
        return phrase("nowhere", talk.question)
    if quotes := pick(talk.question, talk.at_hand):
        return "\n\n".join(f"> {quote}" for quote in quotes)
    if not talk.question.strip():
        return phrase("wordless", talk.question)
    return phrase("greeting" if _GREETING.match(talk.question) else "helpless", talk.question)


def _described(tool: Tool, name: str) -> str:
    about = str((tool.properties.get(name) or {}).get("description") or "").rstrip(".")
    return f"{plain(name)} ({about})" if about else plain(name)
