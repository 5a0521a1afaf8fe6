"""Chooses the tools for a question, and their arguments. Rules 9 to 14 of `provider.py`."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from graphs.providers.offline.concepts import extract_terms, find_concepts
from graphs.providers.offline.conversation import CalledTool, Conversation
from graphs.providers.offline.fill_arguments import FilledArguments, Sources, fill_arguments
from graphs.providers.offline.values import find_code_blocks, find_tables

MIN_SCORE, MIN_SCORE_NAMED = 3.0, 1.5
"""The minimum score of a tool that matches only by its description, and of one that matches by name or values."""

MAX_CALLS = 6
"""Per step."""

_DOCUMENTS = find_concepts("documents")
_WIKIPEDIA = find_concepts("wikipedia")
_SEARCHES = frozenset({"query", "q", "question", "search", "text", "keywords"})
_IS_QUESTION = re.compile(
    r"\?|\b(?:what|who|when|where|which|how|why|explain|summari[sz]e|describe|gì|ai|khi nào|bao nhiêu|thế nào|tại sao|ở đâu|mấy"
    r"|tóm tắt|giải thích)\b",
    re.IGNORECASE,
)
_ASKS = re.compile(
    r"\?$|^(?:what|who|when|where|which|how|why|do|does|did|can|could|have|has|is|are)\b"
    r"|\b(?:không|gì|nào|chưa|đâu|mấy|khong|gi|nao|chua|dau|may)$",
    re.IGNORECASE,
)
_WHO = re.compile(
    r"^(?:who|what)(?:'s| is| are| was| were)\s+(?!the\b|my\b|our\b|your\b)|\b(?:là ai|là gì)\b", re.IGNORECASE
)
_TALK = re.compile(
    r"\b(?:do you (?:think|like|prefer|believe)|your favou?rite|slept well|how are you|bạn (?:thấy|nghĩ|thích)"
    r"|nói chuyện|tâm sự|ban (?:thay|nghi|thich)|noi chuyen)\b",
    re.IGNORECASE,
)
_REFERS = re.compile(
    r"(?:how|what|where|who|when|why)(?: much| many)? (?:is|are|was|were) (?:it|that|this|they|those)", re.IGNORECASE
)
_GREETING = re.compile(
    r"^\W*(?:hi|hello|hey|thanks?|thank you|xin chào|chào|cảm ơn|ok|bye|how are you)\b", re.IGNORECASE
)


@dataclass(frozen=True)
class Tool:
    """An offered tool, parsed from OpenAI's format."""

    name: str
    description: str
    parameters: dict[str, Any]

    @cached_property
    def properties(self) -> dict[str, Any]:
        found = self.parameters.get("properties")
        found = found if isinstance(found, dict) else {}
        return {name: schema if isinstance(schema, dict) else {} for name, schema in found.items()}

    @cached_property
    def name_words(self) -> frozenset[str]:
        return extract_terms(self.name)

    @cached_property
    def name_concepts(self) -> frozenset[int]:
        return find_concepts(self.name.replace("_", " ").replace("-", " "))

    @cached_property
    def description_words(self) -> frozenset[str]:
        about = " ".join(str(p.get("description", "")) for p in self.properties.values() if isinstance(p, dict))
        return extract_terms(f"{self.description} {' '.join(self.properties)} {about}")

    @cached_property
    def description_concepts(self) -> frozenset[int]:
        return find_concepts(self.description)

    @property
    def is_search(self) -> bool:
        """Whether its only required argument is a text to search for."""
        required = self.parameters.get("required") or ()
        return len(required) == 1 and required[0] in _SEARCHES

    @property
    def is_calculator(self) -> bool:
        """Whether it takes a formula, without which it is useless."""
        return bool({"expression", "formula", "equation"} & set(self.properties))

    @property
    def is_analyser(self) -> bool:
        """Whether it takes a table and says what to do with it."""
        return {"data", "operation"} <= set(self.properties)


@dataclass(frozen=True)
class Plan:
    """The calls for a question, in order, each with its part of the question; and `incomplete` ones: a matching tool and its
    missing required arguments."""

    calls: tuple[tuple[str, CalledTool], ...] = ()
    incomplete: tuple[tuple[Tool, tuple[str, ...]], ...] = ()


def read_tools(tools: Sequence[dict[str, Any]]) -> list[Tool]:
    """Return the offered tools; those without a name are left out."""
    functions = [tool.get("function") or {} for tool in tools]
    return [
        Tool(
            str(f["name"]),
            str(f.get("description") or ""),
            f["parameters"] if isinstance(f.get("parameters"), dict) else {},
        )
        for f in functions
        if f.get("name")
    ]


def plan_calls(conversation: Conversation, tools: Sequence[Tool], *, forced: bool = False) -> Plan:
    """Return the calls for each part of the question. `forced`: at least one call, with whatever arguments were found."""
    calls: list[tuple[str, CalledTool]] = []
    incomplete: list[tuple[Tool, tuple[str, ...]]] = []
    previous: Tool | None = None
    for part in _parts(conversation):
        tool = choose_tool(part, tools, previous)
        if tool is None or (tool is previous and tool.is_search and not _IS_QUESTION.search(part)):
            continue
        previous = tool
        for filled in fill_arguments(tool.parameters, Sources(part, conversation.earlier, conversation.fields)):
            if not filled.missing:
                calls.append((part, CalledTool(tool.name, filled.arguments)))
            elif (tool, filled.missing) not in incomplete:
                incomplete.append((tool, filled.missing))
    if forced and not calls and tools:
        calls = [(conversation.question, _forced_call(conversation, tools))]
    unique = {call.identity: (part, call) for part, call in reversed(calls)}
    return Plan(tuple(reversed(unique.values()))[:MAX_CALLS], tuple(incomplete))


def _parts(conversation: Conversation) -> tuple[str, ...]:
    """Return the parts of the question; a message with a table or a program is one, which must not be cut."""
    whole = conversation.earlier[0] if conversation.earlier else ""
    return (whole,) if "```" in whole or find_tables(whole) else conversation.parts


def choose_tool(part: str, tools: Sequence[Tool], previous: Tool | None = None) -> Tool | None:
    """Return the best tool for a part of a question, or None. `previous` is the tool of the part before, which wins a tie."""
    scored = [
        (score_tool(part, tool, tools) + (0.5 if tool is previous else 0.0), -at, tool) for at, tool in enumerate(tools)
    ]
    best = max(scored, default=None, key=lambda one: one[:2])
    if best is not None and best[0] >= (MIN_SCORE_NAMED if _is_named(part, best[2]) else MIN_SCORE):
        return best[2]
    return _fallback_search(part, tools)


def _is_named(part: str, tool: Tool) -> bool:
    """Whether the part matches a tool by more than words of its description."""
    by_name = extract_terms(part) & tool.name_words or find_concepts(part) & tool.name_concepts
    return bool(by_name) or _has_distinctive(fill_arguments(tool.parameters, Sources(part))[0], tool, "code")


def score_tool(part: str, tool: Tool, tools: Sequence[Tool]) -> float:
    """Return how well a tool matches: by shared words and concepts (those of its name count three times, rare ones more), by
    values that match a pattern or an enum, and by complete arguments; a calculator by a formula."""
    filled = fill_arguments(tool.parameters, Sources(part))[0]
    if tool.is_calculator:
        is_program = bool(find_code_blocks(part))
        return 6.0 if _has_distinctive(filled, tool, "code") and not is_program else 0.0
    if _ASKS.search(part.strip()) and _stores_facts(tool):
        return 0.0
    if tool.is_analyser:
        return 6.0 if _has_distinctive(filled, tool, "code") else 0.0
    words_said, concepts_meant = extract_terms(part), find_concepts(part)
    total = 0.0
    for word in words_said & (tool.name_words | tool.description_words):
        tools_with_it = sum(word in other.name_words | other.description_words for other in tools)
        total += _rarity(len(tools), tools_with_it) * (3.0 if word in tool.name_words else 1.0)
    for concept in concepts_meant & (tool.name_concepts | tool.description_concepts):
        tools_with_it = sum(concept in other.name_concepts | other.description_concepts for other in tools)
        total += _rarity(len(tools), tools_with_it) * (3.0 if concept in tool.name_concepts else 1.5)
    total += 3.0 * _has_distinctive(filled, tool, "code") + 1.5 * _has_distinctive(filled, tool, "enum")
    return total + 1.0 if total and not filled.missing else total


def _stores_facts(tool: Tool) -> bool:
    """Whether it stores what it is told, so that it is no tool for a question."""
    return bool({"fact", "note", "memory"} & set(tool.parameters.get("required") or ()))


def _rarity(tools: int, tools_with_it: int) -> float:
    return math.log(1 + tools / max(1, tools_with_it)) / math.log(1 + tools) if tools > 1 else 1.0


def _has_distinctive(filled: FilledArguments, tool: Tool, what: str) -> bool:
    """Whether a value points to the tool: as an "enum", or as a "code" or formula."""
    return any(bool(tool.properties[name].get("enum")) == (what == "enum") for name in filled.distinctive)


def _fallback_search(part: str, tools: Sequence[Tool]) -> Tool | None:
    """Return a tool for a question that matches none: one that searches documents, or Wikipedia for "who is" and "what is"."""
    if (
        _GREETING.match(part)
        or not _IS_QUESTION.search(part)
        or _is_only_talk(part)
        or _REFERS.fullmatch(part.strip(" ?.!"))
    ):
        return None
    about = _WIKIPEDIA if _WHO.search(part.strip()) else frozenset()
    for concepts in (about, _DOCUMENTS):
        for tool in tools:
            description = tool.description_concepts if concepts is _DOCUMENTS else frozenset()
            if tool.is_search and concepts & (tool.name_concepts | description):
                return tool
    return None


def _is_only_talk(part: str) -> bool:
    """Whether it is said to the assistant itself ("What's your favourite season?"), which nothing has to be looked up for."""
    return bool(_TALK.search(part))


def _forced_call(conversation: Conversation, tools: Sequence[Tool]) -> CalledTool:
    """Call the best tool although none matches well; the question itself is used for missing required texts."""
    words_said = conversation.question or " ".join(conversation.parts)
    tool = max(enumerate(tools), key=lambda one: (score_tool(words_said, one[1], tools), -one[0]))[1]
    filled = fill_arguments(tool.parameters, Sources(words_said, conversation.earlier, conversation.fields))[0]
    texts = {
        name: words_said
        for name in filled.missing
        if tool.properties[name].get("type", "string") == "string"
        and not {"pattern", "enum"} & set(tool.properties[name])
    }
    return CalledTool(tool.name, {**filled.arguments, **texts})


def tools_in_prompt(instructions: str) -> list[Tool]:
    """Return the tools that a prompt lists, one a line: `- name: description`, optionally followed by a JSON Schema."""
    found = []
    for match in re.finditer(
        r"^\s*[-*•]\s*`?([A-Za-z][\w-]{0,63})`?\s*(?:\([^)\n]*\))?\s*[:–—-]\s+(.+)$", instructions, re.M
    ):
        description, _, schema = match[2].partition("{")
        found.append(Tool(match[1], description.strip(), _schema("{" + schema) if schema else {}))
    return found


def _schema(text: str) -> dict[str, Any]:
    import json

    try:
        read, _ = json.JSONDecoder().raw_decode(text)
    except ValueError:
        return {}
    if not isinstance(read, dict):
        return {}
    return (
        read
        if "properties" in read
        else {"type": "object", "properties": {k: v for k, v in read.items() if isinstance(v, dict)}}
    )
