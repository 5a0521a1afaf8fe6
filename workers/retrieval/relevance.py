"""Decides whether the found passages answer the question, or whether the documents have no answer. No database here.

Two signals: how far the cosine of the nearest passage stands out from those that follow, and how much of the query's words,
by weight, the best passage contains. The cosine alone says little: to a model that does not know their language, all texts
are similar. The thresholds were fitted on one half of `tests/retrieval`. An irrelevant passage does less harm than a missing
one, so for models that were not measured every result counts as an answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

BASELINE_RANKS = slice(10, 50)
"""The ranks that the nearest passage is compared with; an answer is seldom spread over more than ten."""


@dataclass(frozen=True)
class Thresholds:
    """A question is answered if the best cosine is at least `cosine`, or if lead / `lead` + share / `words` is at least 1: the
    lead of the nearest passage over the baseline, and its share of the query's words. With few passages, `unrelated`, the
    typical cosine of unrelated texts, is the baseline."""

    cosine: float
    lead: float
    words: float
    unrelated: float


THRESHOLDS = {
    "all-MiniLM-L6-v2": Thresholds(cosine=0.70, lead=0.18, words=0.60, unrelated=0.12),
    "multilingual-e5-small": Thresholds(cosine=0.83, lead=0.03, words=1.50, unrelated=0.76),
}
"""By model name, the last part of a vector space's name. Near misses, which have the documents' names and subject and ask for
what isn't said, are no less near than answers: only who reads the passages can tell these."""
MIN_WORD_SHARE = 0.5
"""Used when no vectors could be compared."""


def is_answered(cosines: Mapping[str, Sequence[float]], word_share: float) -> bool:
    """Whether something relevant was found. `cosines` are those of the nearest passages by the name of the space, best first;
    `word_share` (0–1) is the best passage's share of the weight of the query's words."""
    found = {space: values for space, values in cosines.items() if values}
    if not found:
        return word_share >= MIN_WORD_SHARE
    return any(
        _is_relevant(THRESHOLDS.get(space.rsplit("/", 1)[-1]), values, word_share) for space, values in found.items()
    )


def _is_relevant(thresholds: Thresholds | None, cosines: Sequence[float], word_share: float) -> bool:
    if thresholds is None or cosines[0] >= thresholds.cosine:
        return True
    baseline = cosines[BASELINE_RANKS]
    lead = cosines[0] - (fmean(baseline) if baseline else thresholds.unrelated)
    return lead / thresholds.lead + word_share / thresholds.words >= 1
