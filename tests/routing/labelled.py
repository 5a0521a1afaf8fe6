"""The labelled utterances, the agents they are for, and the two halves.

A line of `data/<half>/<kind>.jsonl`:

    text        what the user says
    agents      who is to do it, in order; empty for plain chat
    language    en, vi or other
    clarify     no; ok: the agent or a question back; wanted: only a question back (or a model) is right
    style       plain, typo, bare (Vietnamese without diacritics) or mixed (code-switching); bare is seen by itself
    group       fitting half only: variants of one utterance, kept together in cross-validation
    last_agent  who answered before, if anybody

The rule: the folder is the half, and no line ever changes its folder. `fitting` may be looked at and is for weights and learned
examples; `held_out` was written before the weights were fitted, with other names, numbers and subjects, and is only for
measuring: its mistakes are never listed. A test checks that neither repeats the other.

Both halves use the demo's agents; `data/office` has another tenant's for fitting, `data/unseen` agents for measuring only.
"""

import hashlib
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import msgspec

from api.local.demo.agents import AGENTS
from graphs.routing.codes import patterns_of
from graphs.routing.contract import Candidate, Language
from graphs.routing.small_talk import SMALL_TALK_NAME
from tools.erp.definitions import definitions

DATA = Path(__file__).parent / "data"
DEMO_AGENTS = Path(__file__).parents[2] / "api" / "local" / "demo" / "agents.json"
EXCLUDED_AGENT = "AgentAssistant"
"""An agent of the demo that is not a candidate here: the labels count what it answers as small talk."""
Half = Literal["fitting", "held_out"]
FOLDS = 5


class Labelled(msgspec.Struct, frozen=True):
    """One line, and the file that it is in (`kind`: debt, shipment, analysis, ocr, chat, several, unclear, follow)."""

    text: str
    agents: tuple[str, ...]
    language: Language
    clarify: Literal["no", "ok", "wanted"]
    style: Literal["plain", "typo", "bare", "mixed"] = "plain"
    group: str = ""
    last_agent: str | None = None
    kind: str = ""


@lru_cache
def read_agents(name: str = "demo") -> tuple[Candidate, ...]:
    """Return the candidates of `data/<name>/agents.json`, or the demo's agents except EXCLUDED_AGENT."""
    file = DEMO_AGENTS if name == "demo" else DATA / name / "agents.json"
    found = msgspec.json.decode(file.read_bytes(), type=list[Candidate])
    if name == "demo":
        schemas = {one["name"]: one["parameters"] for one in definitions("http://erp")}
        tools = {agent: [schemas[tool] for tool in row["tools"] if tool in schemas] for agent, row in AGENTS.items()}
        found = [replace(one, patterns=patterns_of(tools[one.name])) for one in found]
    return tuple(one for one in found if one.name != EXCLUDED_AGENT)


@lru_cache
def read_utterances(name: str) -> tuple[Labelled, ...]:
    """Return the utterances for another tenant's agents, `data/<name>/said.jsonl`."""
    return tuple(read_file(DATA / name / "said.jsonl"))


@lru_cache
def read_half(half: Half) -> tuple[Labelled, ...]:
    """Return one half of the labelled utterances, in the order of the files."""
    return tuple(one for path in sorted((DATA / half).glob("*.jsonl")) for one in read_file(path))


def with_learned_examples(candidates: Sequence[Candidate], labelled: Sequence[Labelled]) -> tuple[Candidate, ...]:
    """Return the candidates after feedback: utterances that belong to one agent, or to none, are added as examples."""
    found = []
    for candidate in (*candidates, Candidate(SMALL_TALK_NAME, "")):
        wanted = (candidate.name,) if candidate.name else ()
        said = (one.text for one in labelled if one.agents == wanted and one.clarify == "no" and not one.last_agent)
        found.append(replace(candidate, examples=(*candidate.examples, *said)))
    return tuple(found)


def fold_of(one: Labelled) -> int:
    """Return the fold of the fitting half that an utterance's group is in, for cross-validation."""
    return hashlib.sha256(one.group.encode()).digest()[0] % FOLDS


def read_file(path: Path) -> list[Labelled]:
    """Return the lines of one file."""
    lines = [msgspec.json.decode(line, type=Labelled) for line in path.read_bytes().splitlines()]
    return [msgspec.structs.replace(one, kind=path.stem, style=_style(one)) for one in lines]


def _style(one: Labelled) -> Literal["plain", "typo", "bare", "mixed"]:
    marked = any(c in "đĐ" or unicodedata.combining(c) for c in unicodedata.normalize("NFD", one.text))
    return "bare" if one.language == "vi" and one.style == "plain" and not marked else one.style
