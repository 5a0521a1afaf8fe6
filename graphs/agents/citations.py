"""Sources: the passages that tools found get numbers, the answer names them as [1] or [2, 3], and what it names is cited.

Numbers go on through all the calls of a run, so that no two passages share one; a passage that is found again keeps its own.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from graphs.agents.contract import AgentRun, CallResult
from schema.events import CitationAdded
from tools.builtin.search_documents import spelt

_MARK = re.compile(r"\[(\d{1,3}(?:\s*(?:,|;|and|và|&)\s*\d{1,3})*)\]")
_NUMBER = re.compile(r"\d+")
_WORD = re.compile(r"\w+")
RUN_OF_WORDS = 6
"""As many words of a passage, one after the other, say that an answer without numbers rests on it."""


def number_sources(
    run: AgentRun, calls: Sequence[Mapping[str, Any]], results: Sequence[CallResult], known: Sequence[dict[str, Any]]
) -> tuple[list[CallResult], list[dict[str, Any]]]:
    """Return the results with their passages numbered, and all sources of the run. Only tools that search documents have
    sources: what others return may look like one."""
    sources = {source["chunk_id"]: source for source in known}
    numbered = []
    for call, result in zip(calls, results, strict=True):
        tool = run.tools.get(call["name"])
        if tool is not None and tool.spec.finds_passages and result.ok and result.data and result.data["passages"]:
            found = [_numbered(passage, sources) for passage in result.data["passages"]]
            result = msgspec.structs.replace(result, text=spelt(found), data={"passages": found})  # noqa: PLW2901
        numbered.append(result)
    return numbered, list(sources.values())


def _numbered(passage: dict[str, Any], sources: dict[str, dict[str, Any]]) -> dict[str, Any]:
    known = sources.get(passage["chunk_id"])
    found = {**passage, "number": known["number"] if known else len(sources) + 1}
    sources[passage["chunk_id"]] = found
    return found


def citations_of(text: str, sources: Sequence[Mapping[str, Any]]) -> list[CitationAdded]:
    """Return what an answer rests on, in the order in which it says so. An answer that names no number at all rests on the
    passages of which it repeats a run of words."""
    by_number = {source["number"]: source for source in sources}
    marks = [int(number) for mark in _MARK.finditer(text) for number in _NUMBER.findall(mark[1])]
    named = [by_number[number] for number in dict.fromkeys(marks) if number in by_number]
    return [_citation(source) for source in named or _repeated(text, sources)]


def _repeated(text: str, sources: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    said = _runs(text)
    return [source for source in sources if said & _runs(source["text"])] if said else []


def _runs(text: str) -> set[tuple[str, ...]]:
    words = [word.casefold() for word in _WORD.findall(text)]
    return {tuple(words[i : i + RUN_OF_WORDS]) for i in range(len(words) - RUN_OF_WORDS + 1)}


def _citation(source: Mapping[str, Any]) -> CitationAdded:
    return CitationAdded(
        number=source["number"],
        document_id=source["document_id"],
        document=source["document"],
        chunk_id=source["chunk_id"],
        page=source.get("page"),
        heading=source.get("heading") or None,
        passage=source["text"],
        score=source.get("score"),
    )
