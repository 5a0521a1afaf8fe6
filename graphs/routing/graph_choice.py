"""Which graph an agent's work wants: `react` (look, then decide what to look at next) or `plan_execute` (several parts
that do not wait for each other). And the coarser question before it: plain chat, or an agent.

By wording alone, no model: a wrong choice costs time, not the answer.
"""

import re
from typing import Literal

from graphs.language.clauses import split
from graphs.language.patterns import CODES, mark_codes
from graphs.language.tokenization import fold, normalised, read
from graphs.routing.contract import Route

Graph = Literal["react", "plan_execute"]
Task = Literal["chat", "agent"]

# Folded: without diacritics, lower case.
_WAITS = re.compile(
    r"\b(?:if|depending|based on|until|investigate|figure out|troubleshoot|debug|root cause|step by step|use (?:it|that)"
    r"|neu|tuy theo|dua (?:vao|tren)|cho den khi|dieu tra|tim hieu|nguyen nhan|tung buoc|tai sao|why)\b"
)
_SEVERAL = re.compile(
    r"\b(?:compare|versus|vs|each of|for each|for every|both|respectively|all (?:of )?(?:the )?\w+ (?:following|below)"
    r"|at the same time|in parallel|as well as|side by side|overview of"
    r"|so sanh|moi (?:mot )?\w+|tung (?!buoc)\w+|ca hai|ca ba|lan luot|dong thoi|song song|tong hop)\b"
)
_ORDERED = re.compile(r"\b(?:then|after that|afterwards|first|sau do|roi|truoc tien|tiep theo|truoc het)\b")
_BULLET = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+\S", re.MULTILINE)


def choose_task(route: Route) -> Task:
    """Plain chat, or an agent. A route that needs a model is the agent's who was guessed, until the model has spoken."""
    return "chat" if route.agent is None else "agent"


def choose_graph(utterance: str) -> Graph:
    """`plan_execute` for two or more parts that nothing puts in order; `react` for all else, the cheaper one."""
    text = fold(normalised(read(utterance)))
    if _WAITS.search(text):
        return "react"
    if len(_BULLET.findall(utterance[:20_000])) >= 2:
        return "plan_execute"
    if _ORDERED.search(text):
        return "react"
    codes = sum(mark_codes(read(utterance)).count(kind) for kind in CODES)
    parts = split(read(utterance))
    several = bool(_SEVERAL.search(text)) or codes >= 2 or len(parts) >= 2
    return "plan_execute" if several else "react"
