"""Fits what the router knows beside its tenants' rows: the models of frames (`graphs/routing/frames.json`, `glance.json`) and
the weights of the features (`weights.py`), on the halves that may be looked at.

The features are cross-fitted: an utterance gets its frame from a model that has not learned it; else it would count too much.
The utterances of others weigh the most, for they are the least like the agents' rows. Those with several intents are left out.
The ridge keeps sparse data from producing large weights.
"""

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from graphs.embeddings.registry import open_embedder
from graphs.embeddings.word_vectors import WordVectors
from graphs.language.foreground import requests_in
from graphs.routing.ambiguity import AMBIGUOUS
from graphs.routing.candidate_set import CandidateSet
from graphs.routing.contract import Candidate
from graphs.routing.frames import FRAMES, FrameModel, centre, frame_words
from graphs.routing.scoring import Features
from graphs.routing.semantic import VectorCache, glance_at
from tests.routing.labelled import DATA, read_agents, read_half, read_utterances
from tests.routing.others import Utterance, read_others

RIDGE, ROUNDS, FOLDS = 1.0, 20, 3
INVERSE_RIDGE_OF_FRAMES = 3.0
OWN_WEIGHT, OTHERS_WEIGHT = 0.1, 2.0
FRAME_OF_AGENT = {"AgentAnalysis": "documents", "AgentOCR": "picture"}
"""The demo's agents that don't answer with live figures."""
NOT_FRAMED = ("several", "background", "negated")
Embed = Callable[[Sequence[str]], Awaitable[Any]]
"""Returns vectors of texts, (texts, dimensions)."""


@dataclass(frozen=True)
class Framed:
    """A text and its frame."""

    text: str
    frame: str


@dataclass(frozen=True)
class Asked:
    """An utterance, whose it is (an agent's name, AMBIGUOUS_NAME, or "" for nobody's), and
    who answered before, or what was said before."""

    text: str
    owner: str
    last: str | None = None
    before: str = ""

    @property
    def asked(self) -> str:
        """What of it asks for something, as the router sees it."""
        return ". ".join(requests_in(self.text))


@dataclass
class Rows:
    """For each utterance, the features of its candidates, by words and with vectors; the right one's place; its weight."""

    by_words: list[list[Features]] = field(default_factory=list)
    by_meaning: list[list[Features]] = field(default_factory=list)
    right: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)


async def fit() -> tuple[dict[str, Any], dict[str, Any], str]:
    """Return the model of frames, the one for vectors of words, and the three lines of `weights.py`."""
    words, vectors = WordVectors(), VectorCache(open_embedder("e5")).embed_examples

    async def glance(texts: Sequence[str]) -> Any:
        return glance_at(words, texts)

    framed = list(read_framed())
    framed_at_a_glance = [*framed, *read_frames("frames_at_a_glance")]
    whole, quick = await _collect_rows(framed, vectors), await _collect_rows(framed_at_a_glance, glance)
    found = {
        "LEXICAL_WEIGHTS": (whole, whole.by_words),
        "GLANCE_WEIGHTS": (quick, quick.by_meaning),
        "SEMANTIC_WEIGHTS": (whole, whole.by_meaning),
    }
    lines = (
        f"{name} = ({', '.join(f'{w:.2f}' for w in solve(features, rows.right, rows.weights))})"
        for name, (rows, features) in found.items()
    )
    return await fit_frames(framed, vectors), await fit_frames(framed_at_a_glance, glance), "\n".join(lines)


async def _collect_rows(framed: Sequence[Framed], embed: Embed) -> Rows:
    others = [[one for one in framed if _fold(one.text) != k] for k in range(FOLDS)]
    models = [FrameModel(await fit_frames(rest, embed)) for rest in others]
    rows = Rows()
    for candidates, asked, weight in plans():
        for number, model in enumerate(models):
            own = [one for one in asked if _fold(one.text) == number]
            await _collect(rows, await prepared(candidates, model, embed), own, weight, embed)
    return rows


def read_frames(folder: str) -> Iterator[Framed]:
    """Yield the texts of a folder with their frame. Those of `frames_at_a_glance` are for vectors of words alone, which need
    more to be sure; whole texts' vectors, fitted with them, were right less often (95.5 % of the held-out half, not 96.5 %)."""
    for path in sorted((DATA / folder).glob("*.txt")):
        yield from (Framed(line, path.stem) for line in path.read_text().splitlines() if line.strip())


def read_framed() -> Iterator[Framed]:
    """Yield texts with their frame: those of `data/frames`, of the fitting halves, and of others."""
    yield from read_frames("frames")
    for one in (*read_half("fitting"), *read_utterances("office")):
        if one.kind not in ("several", "follow") and one.clarify != "ok":
            yield Framed(one.text, _frame(one.agents, asks=one.clarify == "wanted"))
    for _, _, utterances in read_others("seen"):
        for other in utterances:
            if not other.history and other.clarify != "ok" and other.kind not in NOT_FRAMED and len(other.answers) == 1:
                yield Framed(other.text, _frame(other.agents, asks=other.clarify == "wanted"))


def _frame(agents: Sequence[str], *, asks: bool) -> str:
    if asks:
        return "vague"
    return FRAME_OF_AGENT.get(agents[0], "live") if agents else "nobody"


async def fit_frames(framed: Sequence[Framed], embed: Embed) -> dict[str, Any]:
    """Return a model of frames, as `FrameModel` reads it."""
    vectors = await embed([one.text for one in framed])
    mean = vectors.mean(axis=0)
    counts = Counter(word for one in framed for word in frame_words(one.text))
    words = sorted(word for word, count in counts.items() if count >= 2)
    rarity = {word: round(float(np.log((1 + len(framed)) / (1 + counts[word])) + 1), 3) for word in words}
    said = _word_rows([one.text for one in framed], rarity)
    model = LogisticRegression(C=INVERSE_RIDGE_OF_FRAMES, max_iter=1000)
    model.fit(np.hstack([centre(vectors, mean), said]), [FRAMES.index(one.frame) for one in framed])
    rows = np.round(model.coef_.T, 2).tolist()
    size = len(mean)
    return {
        "bias": np.round(model.intercept_, 3).tolist(),
        "mean": [round(float(value), 4) for value in mean],
        "vector": rows[:size],
        "words": {word: [rarity[word], rows[size + at]] for at, word in enumerate(words)},
    }


def _word_rows(texts: Sequence[str], rarity: dict[str, float]) -> Any:
    places = {word: at for at, word in enumerate(rarity)}
    found = np.zeros((len(texts), len(places)), np.float32)
    for row, text in zip(found, texts, strict=True):
        for word in frame_words(text):
            if word in places:
                row[places[word]] = rarity[word]
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)


def plans() -> Iterator[tuple[Sequence[Candidate], list[Asked], float]]:
    """Yield candidates, the utterances to fit them on, and what each of these weighs."""
    demo = read_agents()
    sparse = tuple(replace(c, examples=(*c.examples[:2], *c.examples[6:8]), keywords=()) for c in demo)
    half = [
        Asked(one.text, _owner(one.agents, asks=one.clarify == "wanted"), one.last_agent)
        for one in read_half("fitting")
        if one.kind != "several" and one.clarify != "ok"
    ]
    yield demo, half, OWN_WEIGHT
    yield sparse, half, OWN_WEIGHT
    office = [one for one in read_utterances("office") if one.clarify == "no" and len(one.agents) == 1]
    yield read_agents("office"), [Asked(one.text, one.agents[0]) for one in office], OTHERS_WEIGHT
    for name, candidates, utterances in read_others("seen"):
        asked = [
            _asked(one) for one in utterances if len(one.answers) == 1 and len(one.agents) < 2 and one.clarify != "ok"
        ]
        yield candidates, asked, OTHERS_WEIGHT
        if name == "demo":
            yield sparse, asked, OWN_WEIGHT


def _owner(agents: Sequence[str], *, asks: bool) -> str:
    return AMBIGUOUS.name if asks else agents[0] if agents else ""


def _asked(one: Utterance) -> Asked:
    return Asked(
        one.text, _owner(one.agents, asks=one.clarify == "wanted"), None, "".join(one.context.last_messages[-1:])
    )


async def prepared(candidates: Sequence[Candidate], model: FrameModel, embed: Embed) -> CandidateSet:
    """Return the candidates, trained, with this model of frames."""
    candidate_set = await asyncio.to_thread(CandidateSet, candidates, model)
    candidate_set.train_on_vectors(await embed([item.text for item in candidate_set.items]))
    return candidate_set


async def _collect(
    rows: Rows, candidate_set: CandidateSet, asked: Sequence[Asked], weight: float, embed: Embed
) -> None:
    names = [candidate.name for candidate in candidate_set.all_candidates]
    vectors = await embed([one.asked for one in asked]) if asked else []
    for one, meaning in zip(asked, vectors, strict=True):
        last = one.last or (await _likely_agent(candidate_set, one.before, embed) if one.before else None)
        rows.by_words.append(candidate_set.features(one.asked, None, last, whole=one.text))
        rows.by_meaning.append(candidate_set.features(one.asked, meaning, last, whole=one.text))
        rows.right.append(names.index(one.owner))
        rows.weights.append(weight)


async def _likely_agent(candidate_set: CandidateSet, text: str, embed: Embed) -> str:
    """Return the agent whose texts are the most like this one."""
    (vector,) = await embed([text])
    scores = [row[0] for row in candidate_set.features(text, vector)[: len(candidate_set.agents)]]
    return candidate_set.agents[scores.index(max(scores))].name


def solve(rows: list[list[Features]], right: list[int], importance: Sequence[float]) -> list[float]:
    """Return the maximum-likelihood weights with ridge regularisation."""
    size = len(rows[0][0])
    weights = np.zeros(size)
    for _ in range(ROUNDS):
        slope, curve = RIDGE * weights, RIDGE * np.eye(size)
        for one, place, counts in zip(rows, right, importance, strict=True):
            found = np.array(one)
            total = found @ weights
            p = np.exp(total - total.max())
            p /= p.sum()
            mean = p @ found
            slope += counts * (mean - found[place])
            curve += counts * ((found * p[:, None]).T @ found - np.outer(mean, mean))
        weights = weights - np.linalg.solve(curve, slope)
    return weights.tolist()


def write(frames: dict[str, Any], path: Any) -> None:
    """Write the model of frames, a word a line."""
    words = ",\n".join(
        f"  {json.dumps(w, ensure_ascii=False)}: {json.dumps(row)}" for w, row in frames["words"].items()
    )
    rest = ",\n".join(f" {json.dumps(key)}: {json.dumps(frames[key])}" for key in ("bias", "mean", "vector"))
    path.write_text(f'{{\n{rest},\n "words": {{\n{words}\n }}\n}}\n')


def _fold(text: str) -> int:
    return hashlib.sha256(text.encode()).digest()[0] % FOLDS
