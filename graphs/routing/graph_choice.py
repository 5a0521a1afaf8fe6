"""Which graph suits a question: `react` (each step depends on the last) or `plan_execute` (several independent parts). And
before that: plain chat, or an agent.

By wording alone, without a model: a wrong choice costs time, not the answer.
"""

import re
from typing import Literal

from graphs.language.clauses import split_clauses
from graphs.language.patterns import codes_in
from graphs.language.tokenization import clean_utterance, fold, normalise
from graphs.routing.contract import Route

Graph = Literal["react", "plan_execute"]
Task = Literal["chat", "agent"]

# Folded: without diacritics, lower case.
_SEQUENTIAL = re.compile(
    r"\b(?:if|depending|based on|until|investigate|figure out|troubleshoot|debug|root cause|step by step|use (?:it|that)"
    r"|neu|tuy theo|dua (?:vao|tren)|cho den khi|dieu tra|tim hieu|nguyen nhan|tung buoc|tai sao|why)\b"
)
_PARALLEL = re.compile(
    r"\b(?:compare|versus|vs|each of|for each|for every|both|respectively|all (?:of )?(?:the )?\w+ (?:following|below)"
    r"|at the same time|in parallel|as well as|side by side|overview of"
    r"|so sanh|moi (?:mot )?\w+|tung (?!buoc)\w+|ca hai|ca ba|lan luot|dong thoi|song song|tong hop)\b"
)
_ORDERED = re.compile(r"\b(?:then|after that|afterwards|first|sau do|roi|truoc tien|tiep theo|truoc het)\b")
_BULLET = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+\S", re.MULTILINE)


def choose_task(route: Route) -> Task:
    """Plain chat, or an agent. A route that needs a model counts as the guessed agent's until the model has decided."""
    return "chat" if route.agent is None else "agent"


def choose_graph(utterance: str) -> Graph:
    """`plan_execute` for two or more parts without a prescribed order; `react`, the cheaper graph, for everything else."""
    text = fold(normalise(clean_utterance(utterance)))
    if _SEQUENTIAL.search(text):
        return "react"
    if len(_BULLET.findall(utterance[:20_000])) >= 2:
        return "plan_execute"
    if _ORDERED.search(text):
        return "react"
    codes = len(codes_in(clean_utterance(utterance)))
    clauses = split_clauses(clean_utterance(utterance))
    is_parallel = bool(_PARALLEL.search(text)) or codes >= 2 or len(clauses) >= 2
    return "plan_execute" if is_parallel else "react"
