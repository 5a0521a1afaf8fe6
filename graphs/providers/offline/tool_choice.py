"""Which tools a question asks for, and with which arguments. Rules 9 to 14 of `offline.py`."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from graphs.providers.offline.concepts import concepts_of, terms_of
from graphs.providers.offline.conversation import CalledTool, Conversation
from graphs.providers.offline.fill_arguments import Filled, Sources, fill

WORTH, WORTH_NAMED = 3.0, 1.5
"""What a tool must score that only its description speaks for, and one whose name or values do."""

MOST = 6
"""Calls of one step."""

_DOCUMENTS = concepts_of("documents")
_WIKIPEDIA = concepts_of("wikipedia")
_SEARCHES = frozenset({"query", "q", "question", "search", "text", "keywords"})
_IS_QUESTION = re.compile(
    r"\?|\b(?:what|who|when|where|which|how|why|explain|summari[sz]e|describe|gì|ai|khi nào|bao nhiêu|thế nào|tại sao|ở đâu|mấy"
    r"|tóm tắt|giải thích)\b",
    re.IGNORECASE,
)
_WHO = re.compile(
    r"^(?:who|what)(?:'s| is| are| was| were)\s+(?!the\b|my\b|our\b|your\b)|\b(?:là ai|là gì)\b", re.IGNORECASE
)
_GREETING = re.compile(
    r"^\W*(?:hi|hello|hey|thanks?|thank you|xin chào|chào|cảm ơn|ok|bye|how are you)\b", re.IGNORECASE
)


@dataclass(frozen=True)
class Tool:
    """A tool that is offered, from OpenAI's shape."""

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
        return terms_of(self.name)

    @cached_property
    def name_concepts(self) -> frozenset[int]:
        return concepts_of(self.name.replace("_", " ").replace("-", " "))

    @cached_property
    def told_words(self) -> frozenset[str]:
        about = " ".join(str(p.get("description", "")) for p in self.properties.values() if isinstance(p, dict))
        return terms_of(f"{self.description} {' '.join(self.properties)} {about}")

    @cached_property
    def told_concepts(self) -> frozenset[int]:
        return concepts_of(self.description)

    @property
    def searches(self) -> bool:
        """Its one required argument is a text to search for."""
        required = self.parameters.get("required") or ()
        return len(required) == 1 and required[0] in _SEARCHES

    @property
    def computes(self) -> bool:
        """It takes a formula, and is no use without one."""
        return bool({"expression", "formula", "equation"} & set(self.properties))


@dataclass(frozen=True)
class Plan:
    """The calls that a question asks for, in order, each with its part of the question; and what stays open: a tool that
    fits, and its required arguments that nobody gave."""

    calls: tuple[tuple[str, CalledTool], ...] = ()
    open: tuple[tuple[Tool, tuple[str, ...]], ...] = ()


def read_tools(tools: Sequence[dict[str, Any]]) -> list[Tool]:
    """The offered tools; what has no name is left out."""
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


def plan_calls(talk: Conversation, tools: Sequence[Tool], *, forced: bool = False) -> Plan:
    """The calls for each part of the question. `forced`: at least one call, with what there is for its arguments."""
    calls: list[tuple[str, CalledTool]] = []
    left_open: list[tuple[Tool, tuple[str, ...]]] = []
    last: Tool | None = None
    for part in talk.parts:
        tool = choose(part, tools, last)
        if tool is None:
            continue
        last = tool
        for filled in fill(tool.parameters, Sources(part, talk.earlier, talk.fields)):
            if not filled.missing:
                calls.append((part, CalledTool(tool.name, filled.arguments)))
            elif (tool, filled.missing) not in left_open:
                left_open.append((tool, filled.missing))
    if forced and not calls and tools:
        calls = [(talk.question, _forced(talk, tools))]
    unique = {call.same: (part, call) for part, call in reversed(calls)}
    return Plan(tuple(reversed(unique.values()))[:MOST], tuple(left_open))


def choose(part: str, tools: Sequence[Tool], last: Tool | None = None) -> Tool | None:
    """The tool that fits a part of a question best, or None. `last` is the one of the part before, which wins a draw."""
    scored = [(score(part, tool, tools) + (0.5 if tool is last else 0.0), -at, tool) for at, tool in enumerate(tools)]
    best = max(scored, default=None, key=lambda one: one[:2])
    if best is not None and best[0] >= (WORTH_NAMED if _is_named(part, best[2]) else WORTH):
        return best[2]
    return _searching(part, tools)


def _is_named(part: str, tool: Tool) -> bool:
    """Whether the part shares more with a tool than words of its description."""
    by_name = terms_of(part) & tool.name_words or concepts_of(part) & tool.name_concepts
    return bool(by_name) or _fitted(fill(tool.parameters, Sources(part))[0], tool, "code")


def score(part: str, tool: Tool, tools: Sequence[Tool]) -> float:
    """How well a tool fits: shared words and concepts, those of its name three times, rarer ones more; a value that fits a
    pattern or an enum of its arguments, and that none is missing; a formula for one that computes."""
    filled = fill(tool.parameters, Sources(part))[0]
    if tool.computes:
        return 6.0 if _fitted(filled, tool, "code") else 0.0
    if part.rstrip().endswith("?") and _keeps(tool):
        return 0.0
    said, meant = terms_of(part), concepts_of(part)
    total = 0.0
    for word in said & (tool.name_words | tool.told_words):
        having = sum(word in other.name_words | other.told_words for other in tools)
        total += _rarity(len(tools), having) * (3.0 if word in tool.name_words else 1.0)
    for concept in meant & (tool.name_concepts | tool.told_concepts):
        having = sum(concept in other.name_concepts | other.told_concepts for other in tools)
        total += _rarity(len(tools), having) * (3.0 if concept in tool.name_concepts else 1.5)
    total += 3.0 * _fitted(filled, tool, "code") + 1.5 * _fitted(filled, tool, "enum")
    return total + 1.0 if total and not filled.missing else total


def _keeps(tool: Tool) -> bool:
    """It takes something that is told: no tool for a question."""
    return bool({"fact", "note", "memory"} & set(tool.parameters.get("required") or ()))


def _rarity(tools: int, having: int) -> float:
    return math.log(1 + tools / max(1, having)) / math.log(1 + tools) if tools > 1 else 1.0


def _fitted(filled: Filled, tool: Tool, what: str) -> bool:
    """Whether a value speaks for the tool: as an "enum", or as a "code" or formula."""
    return any(bool(tool.properties[name].get("enum")) == (what == "enum") for name in filled.fitted)


def _searching(part: str, tools: Sequence[Tool]) -> Tool | None:
    """For a question that names no tool: one that searches documents, or for "who is" and "what is" Wikipedia."""
    if _GREETING.match(part) or not _IS_QUESTION.search(part):
        return None
    about = _WIKIPEDIA if _WHO.search(part.strip()) else frozenset()
    for concepts in (about, _DOCUMENTS):
        for tool in tools:
            told = tool.told_concepts if concepts is _DOCUMENTS else frozenset()
            if tool.searches and concepts & (tool.name_concepts | told):
                return tool
    return None


def _forced(talk: Conversation, tools: Sequence[Tool]) -> CalledTool:
    """The best tool although none fits well; a text that is required and missing is the question itself."""
    said = talk.question or " ".join(talk.parts)
    tool = max(enumerate(tools), key=lambda one: (score(said, one[1], tools), -one[0]))[1]
    filled = fill(tool.parameters, Sources(said, talk.earlier, talk.fields))[0]
    texts = {
        name: said
        for name in filled.missing
        if tool.properties[name].get("type", "string") == "string"
        and not {"pattern", "enum"} & set(tool.properties[name])
    }
    return CalledTool(tool.name, {**filled.arguments, **texts})


def listed_tools(instructions: str) -> list[Tool]:
    """Tools that a prompt tells of, one a line: `- name: description`, with or without a JSON Schema at the line's end."""
    found = []
    for match in re.finditer(
        r"^\s*[-*•]\s*`?([A-Za-z][\w-]{0,63})`?\s*(?:\([^)\n]*\))?\s*[:–—-]\s+(.+)$", instructions, re.M
    ):
        told, _, schema = match[2].partition("{")
        found.append(Tool(match[1], told.strip(), _schema("{" + schema) if schema else {}))
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
