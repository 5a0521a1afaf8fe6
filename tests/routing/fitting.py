"""Fits the weights of `graphs/routing/weights.py` on the fitting half: conditional logistic regression, by Newton's method.

Utterances with several intents, or that depend on earlier ones (several, follow), are left out. Features are cross-validated:
an utterance is classified by a candidate set that has not learned its group. There are four kinds of sets, so that the
weights suit new agents and old ones: the rows as they are, with the other utterances as learned examples, with four examples
and no keywords, and another tenant's. The ridge keeps sparse data from producing large weights.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from graphs.embeddings.registry import open_embedder
from graphs.routing.ambiguity import AMBIGUOUS
from graphs.routing.candidate_set import CandidateSet
from graphs.routing.contract import Candidate
from graphs.routing.scoring import Features
from graphs.routing.semantic import VectorCache
from graphs.routing.small_talk import SMALL_TALK_NAME
from tests.routing.labelled import (
    FOLDS,
    Labelled,
    fold_of,
    read_agents,
    read_half,
    read_utterances,
    with_learned_examples,
)

KINDS = frozenset({"debt", "shipment", "analysis", "ocr", "chat", "unclear"})
RIDGE = 1.0
ROUNDS = 12


@dataclass
class Rows:
    """For each utterance, the features of its candidates, by words and with embeddings, and the index of the right one."""

    by_words: list[list[Features]] = field(default_factory=list)
    by_meaning: list[list[Features]] = field(default_factory=list)
    right: list[int] = field(default_factory=list)


async def fit() -> str:
    """Return the two lines to paste into `weights.py`."""
    rows, vectors = Rows(), VectorCache(open_embedder())
    for candidates, labelled in plans():
        await collect(rows, vectors, candidates, labelled)
    found = {"LEXICAL_WEIGHTS": rows.by_words, "SEMANTIC_WEIGHTS": rows.by_meaning}
    return "\n".join(f"{n} = ({', '.join(f'{w:.2f}' for w in solve(f, rows.right))})" for n, f in found.items())


def plans() -> Iterator[tuple[tuple[Candidate, ...], list[Labelled]]]:
    """Yield candidates and the utterances to fit them on."""
    half = [one for one in read_half("fitting") if one.kind in KINDS and one.clarify != "ok"]
    agents = read_agents()
    sparse = tuple(replace(c, examples=(*c.examples[:2], *c.examples[6:8]), keywords=()) for c in agents)
    yield agents, half
    yield sparse, half
    for _ in range(3):  # the small plan of other agents counts as much as the large ones of these
        yield (
            read_agents("office"),
            [*read_utterances("office"), *(one for one in half if one.kind in ("chat", "unclear"))],
        )
    for number in range(FOLDS):
        others = [one for one in half if fold_of(one) != number]
        yield with_learned_examples(agents, others), [one for one in half if fold_of(one) == number]


async def collect(rows: Rows, vectors: VectorCache, candidates: Sequence[Candidate], labelled: list[Labelled]) -> None:
    """Add the rows of every utterance."""
    candidate_set = await asyncio.to_thread(CandidateSet, candidates)
    candidate_set.train_on_vectors(await vectors.embed_examples([item.text for item in candidate_set.items]))
    utterance_vectors = await vectors.embed_examples([one.text for one in labelled])
    for one, meaning in zip(labelled, utterance_vectors, strict=True):
        wanted = AMBIGUOUS.name if one.clarify == "wanted" else one.agents[0] if one.agents else SMALL_TALK_NAME
        rows.by_words.append(candidate_set.features(one.text))
        rows.by_meaning.append(candidate_set.features(one.text, meaning))
        rows.right.append([candidate.name for candidate in candidate_set.all_candidates].index(wanted))


def solve(rows: list[list[Features]], right: list[int]) -> list[float]:
    """Return the maximum-likelihood weights with ridge regularisation."""
    size = len(rows[0][0])
    weights = np.zeros(size)
    for _ in range(ROUNDS):
        slope, curve = RIDGE * weights, RIDGE * np.eye(size)
        for one, place in zip(rows, right, strict=True):
            found = np.array(one)
            total = found @ weights
            p = np.exp(total - total.max())
            p /= p.sum()
            mean = p @ found
            slope += mean - found[place]
            curve += (found * p[:, None]).T @ found - np.outer(mean, mean)
        weights = weights - np.linalg.solve(curve, slope)
    return weights.tolist()
