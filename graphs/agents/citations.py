"""Citations: passages that tools find are numbered, and the answer cites them as [1] or [2, 3].

Numbering continues across all calls of a run, so no two passages share a number; one that is found again keeps its own.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from graphs.agents.contract import AgentRun, CallResult
from schema.events import CitationAdded
from tools.builtin.search_documents import format_passages

CITATION = re.compile(r"\[(\d{1,3}(?:\s*(?:,|;|and|và|&)\s*\d{1,3})*)\]")
_NUMBER = re.compile(r"\d+")
_WORD = re.compile(r"\w+")
MATCHING_WORDS = 6
"""An answer without citations counts as based on a passage if it repeats this many consecutive words of it."""


def number_sources(
    run: AgentRun, calls: Sequence[Mapping[str, Any]], results: Sequence[CallResult], known: Sequence[dict[str, Any]]
) -> tuple[list[CallResult], list[dict[str, Any]]]:
    """Return the results with numbered passages, and all sources of the run. Only tools that search documents have sources;
    what others return may merely look like one."""
    sources = {source["chunk_id"]: source for source in known}
    numbered = []
    for call, result in zip(calls, results, strict=True):
        tool = run.tools.get(call["name"])
        if tool is not None and tool.spec.finds_passages and result.ok and result.data and result.data["passages"]:
            found = [_numbered(passage, sources) for passage in result.data["passages"]]
            result = msgspec.structs.replace(result, text=format_passages(found), data={"passages": found})  # noqa: PLW2901
        numbered.append(result)
    return numbered, list(sources.values())


def _numbered(passage: dict[str, Any], sources: dict[str, dict[str, Any]]) -> dict[str, Any]:
    known = sources.get(passage["chunk_id"])
    found = {**passage, "number": known["number"] if known else len(sources) + 1}
    sources[passage["chunk_id"]] = found
    return found


def find_citations(text: str, sources: Sequence[Mapping[str, Any]]) -> list[CitationAdded]:
    """Return the sources of an answer in the order in which it cites them. For an answer that cites none, these are the
    passages that it quotes."""
    if not sources:
        return []
    by_number = {source["number"]: source for source in sources}
    marks = [int(number) for mark in CITATION.finditer(text) for number in _NUMBER.findall(mark[1])]
    named = [by_number[number] for number in dict.fromkeys(marks) if number in by_number]
    return [_citation(source) for source in named or _sources_quoted_by(text, sources)]


def _sources_quoted_by(text: str, sources: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    sequences = _word_sequences(text)
    return [source for source in sources if sequences & _word_sequences(source["text"])] if sequences else []


def _word_sequences(text: str) -> set[tuple[str, ...]]:
    words = [word.casefold() for word in _WORD.findall(text)]
    return {tuple(words[i : i + MATCHING_WORDS]) for i in range(len(words) - MATCHING_WORDS + 1)}


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
