"""Utterances that people wrote who knew the agents' rows alone, and neither the router nor the other sets.

    data/others/seen      may be looked at: mistakes are listed, weights and thresholds are fitted on it
    data/others/unseen    is scored once per release, in totals; its lines and single mistakes are never read or listed

`data/businesses` was written for fitting, like them in kinds, by somebody who knew the seen half: nothing is measured on it.

Each half has the demo's agents (`demo.jsonl`) and businesses of its own (`<name>/agents.json`, `said.jsonl`). `labels2_<file>`
beside a file has a second person's labels, who knew neither the first ones nor the router. Where both disagree, the line is
left out, or, where one of them would ask, either is right.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from graphs.language.detection import Language
from graphs.routing.contract import Candidate, Context
from tests.routing.labelled import DATA, read_agents

OTHERS = DATA / "others"
OthersHalf = Literal["seen", "unseen"]
Asks = Literal["no", "ok", "wanted"]


class Turn(msgspec.Struct, frozen=True):
    """An earlier message."""

    role: str
    content: str


class Utterance(msgspec.Struct, frozen=True):
    """One line. `clarify` as in `labelled.py`; `answers` are the agents that are right, one tuple for each person's label."""

    text: str
    agents: tuple[str, ...]
    clarify: Asks
    language: Language
    kind: str
    history: tuple[Turn, ...] = ()
    answers: tuple[tuple[str, ...], ...] = ()

    @property
    def context(self) -> Context:
        """What the router is told of the earlier messages: what the user said."""
        return Context(None, tuple(turn.content for turn in self.history if turn.role == "user"))


class SecondLabel(msgspec.Struct, frozen=True):
    """The second person's label of a line (from 1)."""

    line: int
    agents: tuple[str, ...]
    clarify: Asks


def read_businesses() -> Iterator[tuple[str, tuple[Candidate, ...], list[Utterance]]]:
    """Yield the name of each business that is for fitting alone, its agents, and its utterances."""
    for path in sorted((DATA / "businesses").glob("*/said.jsonl")):
        name = path.parent.name
        yield name, read_agents(name if name == "demo" else f"businesses/{name}"), _read(path)


def read_others(half: OthersHalf) -> Iterator[tuple[str, tuple[Candidate, ...], list[Utterance]]]:
    """Yield the name of each business, its agents, and the utterances on whose labels two people agree."""
    folder = OTHERS / half
    if (folder / "demo.jsonl").exists():
        yield "demo", read_agents(), _read(folder / "demo.jsonl")
    for path in sorted(folder.glob("*/said.jsonl")):
        agents = msgspec.json.decode((path.parent / "agents.json").read_bytes(), type=list[Candidate])
        yield path.parent.name, tuple(agents), _read(path)


def _read(path: Path) -> list[Utterance]:
    first = [msgspec.json.decode(line, type=Utterance) for line in path.read_bytes().splitlines() if line.strip()]
    second = {label.line: label for label in _second_labels(path)}
    agreed = (agree(one, second.get(number)) for number, one in enumerate(first, 1))
    return [one for one in agreed if one is not None]


def _second_labels(path: Path) -> list[SecondLabel]:
    beside = path.with_name(f"labels2_{path.name}")
    lines = beside.read_bytes().splitlines() if beside.exists() else []
    return [msgspec.json.decode(line, type=SecondLabel) for line in lines if line.strip()]


def agree(first: Utterance, second: SecondLabel | None) -> Utterance | None:
    """Return the utterance with what both people hold for right; None if they disagree."""
    answers = (first.agents,) if second is None or first.agents == second.agents else (first.agents, second.agents)
    if second is None or (first.agents, first.clarify) == (second.agents, second.clarify):
        return msgspec.structs.replace(first, answers=answers)
    asks = {first.clarify, second.clarify}
    if len(answers) > 1 and "wanted" not in asks:
        return None
    if asks == {"wanted"}:
        return msgspec.structs.replace(first, answers=answers, clarify="wanted")
    if len(answers) > 1 and asks == {"no", "wanted"}:
        answers = tuple(agents for agents in answers if agents) or ((),)
    return msgspec.structs.replace(first, answers=answers, clarify="ok")
