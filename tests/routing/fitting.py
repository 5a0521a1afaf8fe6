"""Fits what the router knows beside its tenants' rows: the models of frames (`graphs/routing/frames.json`, `glance.json`) and
the weights of the features (`weights.py`), on the halves that may be looked at.

The features are cross-fitted: an utterance gets its frame from a model that has not learned it; else it would count too much.
The utterances of others, and those of businesses that were made up for this, weigh the most, for they are the least like the
agents' rows. Those with several intents are left out. The ridge keeps sparse data from producing large weights. `without` is a
business of others that is to be measured: none of its utterances is learned (`crosswise.py`).
"""

import asyncio
import copy
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
from graphs.routing.fitted import Fitted
from graphs.routing.frames import FRAMES, FrameModel, centre, frame_words
from graphs.routing.scoring import Features
from graphs.routing.semantic import VectorCache, word_vectors_of
from tests.routing.labelled import DATA, read_agents, read_half, read_utterances
from tests.routing.others import Utterance, read_businesses, read_others

RIDGE, ROUNDS, FOLDS = 1.0, 20, 3
INVERSE_RIDGE_OF_FRAMES = 10.0
OWN_WEIGHT, OTHERS_WEIGHT = 0.1, 2.0
FRAME_OF_AGENT = {
    **dict.fromkeys(("AgentAnalysis", "AgentManual", "AgentRules", "AgentPapers", "AgentHandbook"), "documents"),
    **dict.fromkeys(("AgentHygiene", "AgentArchive"), "documents"),
    **dict.fromkeys(("AgentOCR", "AgentScan", "AgentReceipts"), "picture"),
}
"""The agents that don't answer with live figures."""
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


@dataclass(frozen=True)
class Fit:
    """The models of frames as they are written, and the weights in the order of `weights.py`."""

    frames: dict[str, Any]
    glance_frames: dict[str, Any]
    lexical: list[float]
    glance: list[float]
    semantic: list[float]

    @property
    def fitted(self) -> Fitted:
        """What a router takes."""
        frames, glance = FrameModel(self.frames), FrameModel(self.glance_frames)
        return Fitted(frames, glance, self.lexical, self.glance, self.semantic)

    @property
    def lines(self) -> str:
        """The lines of `weights.py`."""
        rows = {"LEXICAL": self.lexical, "GLANCE": self.glance, "SEMANTIC": self.semantic}
        written = {name: ", ".join(f"{weight:.2f}" for weight in row) for name, row in rows.items()}
        return "\n".join(f"{name}_WEIGHTS = ({row})  # fmt: skip  # noqa: E501" for name, row in written.items())


class View:
    """A way to embed texts, and the sets of candidates that are trained on its vectors."""

    def __init__(self, embed: Embed) -> None:
        self.embed = embed
        self._sets: dict[tuple[Candidate, ...], CandidateSet] = {}
        self._vectors: dict[tuple[Candidate, ...], Any] = {}

    async def prepared(self, candidates: Sequence[Candidate], model: FrameModel) -> CandidateSet:
        """Return the candidates, trained, with this model of frames."""
        key = tuple(candidates)
        if key not in self._sets:
            made = await asyncio.to_thread(CandidateSet, candidates)
            self._vectors[key] = await self.embed([item.text for item in made.items])
            made.train_on_vectors(self._vectors[key])
            self._sets[key] = made
        found = copy.copy(self._sets[key])
        found._frames = model
        found._kinds, found._claims = found._frames_of_agents(self._vectors[key])
        return found


def open_views() -> tuple[View, View]:
    """Return the view of whole texts, and the one of words."""
    words = WordVectors()

    async def glance(texts: Sequence[str]) -> Any:
        return word_vectors_of(words, texts)

    return View(VectorCache(open_embedder("e5")).embed_examples), View(glance)


async def fit(without: str = "", views: tuple[View, View] | None = None) -> Fit:
    """Fit everything, without what others asked of one business."""
    by_texts, by_words = views or open_views()
    framed = list(read_framed(without))
    framed_at_a_glance = [*framed, *read_frames("frames_at_a_glance")]
    whole = await _collect_rows(framed, by_texts, without)
    quick = await _collect_rows(framed_at_a_glance, by_words, without)
    return Fit(
        await fit_frames(framed, by_texts.embed),
        await fit_frames(framed_at_a_glance, by_words.embed),
        lexical=solve(whole.by_words, whole.right, whole.weights),
        glance=solve(quick.by_meaning, quick.right, quick.weights),
        semantic=solve(whole.by_meaning, whole.right, whole.weights),
    )


async def _collect_rows(framed: Sequence[Framed], view: View, without: str) -> Rows:
    others = [[one for one in framed if _fold(one.text) != k] for k in range(FOLDS)]
    models = [FrameModel(await fit_frames(rest, view.embed)) for rest in others]
    rows = Rows()
    for candidates, asked, weight in plans(without):
        for number, model in enumerate(models):
            own = [one for one in asked if _fold(one.text) == number]
            await _collect(rows, await view.prepared(candidates, model), own, weight, view.embed)
    return rows


def read_frames(folder: str) -> Iterator[Framed]:
    """Yield the texts of a folder with their frame. Those of `frames_at_a_glance` are for vectors of words alone, which need
    more to be sure; whole texts' vectors, fitted with them, were right less often (95.5 % of the held-out half, not 96.5 %)."""
    for path in sorted((DATA / folder).glob("*.txt")):
        yield from (Framed(line, path.stem) for line in path.read_text().splitlines() if line.strip())


def read_framed(without: str = "") -> Iterator[Framed]:
    """Yield texts with their frame: those of `data/frames`, of the fitting halves, of others, and of made-up businesses."""
    yield from read_frames("frames")
    for one in (*read_half("fitting"), *read_utterances("office")):
        if one.kind not in ("several", "follow") and one.clarify != "ok":
            yield Framed(one.text, _frame(one.agents, asks=one.clarify == "wanted"))
    seen = (utterances for name, _, utterances in read_others("seen") if name != without)
    for utterances in (*seen, *(utterances for _, _, utterances in read_businesses())):
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


def plans(without: str = "") -> Iterator[tuple[Sequence[Candidate], list[Asked], float]]:
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
    seen = [one for one in read_others("seen") if one[0] != without]
    for name, candidates, utterances in (*seen, *read_businesses()):
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
    weights, arrays = np.zeros(size), [np.array(one) for one in rows]
    for _ in range(ROUNDS):
        slope, curve = RIDGE * weights, RIDGE * np.eye(size)
        for found, place, counts in zip(arrays, right, importance, strict=True):
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
