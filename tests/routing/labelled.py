"""The labelled utterances, the agents they are for, and the two halves.

A line of `data/<half>/<kind>.jsonl`:

    text        what the user says
    agents      who is to do it, in order; empty for plain chat
    language    en, vi or other
    clarify     no; ok: the agent or a question back; wanted: only a question back (or a model) is right
    style       plain, typo, bare (Vietnamese without diacritics) or mixed (code-switching); bare is seen by itself
    group       fitting half only: variants of one utterance, kept together in cross-validation
    last_agent  who answered before, if anybody

The rule: the folder is the half, and no line ever changes its folder. `fitting` is for looking at, for weights and for
learned examples; `held_out` was written before the weights were fitted, with other names, numbers and matters, and is
for measuring only: its mistakes are never listed. A test holds that neither repeats the other.

`data/demo` has the agents for both halves, `data/office` another tenant's for fitting, `data/unseen` agents that no fit
has seen.
"""

import hashlib
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import msgspec

from graphs.routing.contract import Candidate, Language
from graphs.routing.small_talk import SMALL_TALK_NAME

DATA = Path(__file__).parent / "data"
DEMO_AGENTS = Path(__file__).parents[2] / "api" / "local" / "demo_agents.json"
EXCLUDED_AGENT = "AgentAssistant"
"""An agent of the demo that is no candidate here: to the labels, what it answers is small talk."""
Half = Literal["fitting", "held_out"]
FOLDS = 5


class Labelled(msgspec.Struct, frozen=True):
    """One line, and the file it stands in (`kind`: debt, shipment, analysis, ocr, chat, several, unclear, follow)."""

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
    """The candidates of `data/<name>/agents.json`; those of the demo are the ones that are delivered, but for one."""
    file = DEMO_AGENTS if name == "demo" else DATA / name / "agents.json"
    return tuple(
        one for one in msgspec.json.decode(file.read_bytes(), type=list[Candidate]) if one.name != EXCLUDED_AGENT
    )


@lru_cache
def read_utterances(name: str) -> tuple[Labelled, ...]:
    """What is said to the agents of another tenant, `data/<name>/said.jsonl`."""
    return tuple(read_file(DATA / name / "said.jsonl"))


@lru_cache
def read_half(half: Half) -> tuple[Labelled, ...]:
    """One half of the labelled utterances, in the order of the files."""
    return tuple(one for path in sorted((DATA / half).glob("*.jsonl")) for one in read_file(path))


def with_learned_examples(candidates: Sequence[Candidate], labelled: Sequence[Labelled]) -> tuple[Candidate, ...]:
    """The candidates after feedback: what was said and belongs to one agent alone, or to nobody, are examples now."""
    found = []
    for candidate in (*candidates, Candidate(SMALL_TALK_NAME, "")):
        wanted = (candidate.name,) if candidate.name else ()
        said = (one.text for one in labelled if one.agents == wanted and one.clarify == "no" and not one.last_agent)
        found.append(replace(candidate, examples=(*candidate.examples, *said)))
    return tuple(found)


def fold_of(one: Labelled) -> int:
    """The fifth of the fitting half that an utterance's group is in; for cross-validation."""
    return hashlib.sha256(one.group.encode()).digest()[0] % FOLDS


def read_file(path: Path) -> list[Labelled]:
    """The lines of one file."""
    lines = [msgspec.json.decode(line, type=Labelled) for line in path.read_bytes().splitlines()]
    return [msgspec.structs.replace(one, kind=path.stem, style=_style(one)) for one in lines]


def _style(one: Labelled) -> Literal["plain", "typo", "bare", "mixed"]:
    marked = any(c in "đĐ" or unicodedata.combining(c) for c in unicodedata.normalize("NFD", one.text))
    return "bare" if one.language == "vi" and one.style == "plain" and not marked else one.style
