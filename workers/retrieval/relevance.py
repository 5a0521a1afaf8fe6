"""Whether anything that was found answers the question, or it is not in the documents (D6). No database here.

Two signs: how far the nearest passage stands out from those that follow, in cosine, and how much of the query's words, by
weight, the best passage holds. How near it is by itself tells little: to a model that does not know their language all texts
are alike. The figures were fitted on one half of `tests/retrieval`. It is better to show a passage that does not fit than to
keep one back that does, so of a model that was not measured any nearness counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

FOLLOWING = slice(10, 50)
"""The places that the nearest is compared with; an answer is seldom spread over more than ten."""


@dataclass(frozen=True)
class Bounds:
    """A question is answered from the cosine `near` on; or by passages that stand out, or hold its words, in part: when
    standing out / `out` + share / `said` is 1 or more. `far` is what unrelated texts have, for few passages."""

    near: float
    out: float
    said: float
    far: float


BY_MODEL = {"all-MiniLM-L6-v2": Bounds(near=0.70, out=0.18, said=0.60, far=0.12)}
"""By the model's name, the last part of its space's."""
SAID = 0.5
"""Of the words, where no vector could be compared."""


def is_answered(cosines: Mapping[str, Sequence[float]], share: float) -> bool:
    """Return whether something relevant was found. `cosines` are those of the nearest passages in each space, best first, by
    the space's name; `share` (0–1) is what the best passage holds of the weight of the query's words."""
    found = {space: values for space, values in cosines.items() if values}
    if not found:
        return share >= SAID
    return any(_fits(BY_MODEL.get(space.rsplit("/", 1)[-1]), values, share) for space, values in found.items())


def _fits(bounds: Bounds | None, cosines: Sequence[float], share: float) -> bool:
    if bounds is None or cosines[0] >= bounds.near:
        return True
    following = cosines[FOLLOWING]
    out = cosines[0] - (fmean(following) if following else bounds.far)
    return out / bounds.out + share / bounds.said >= 1
