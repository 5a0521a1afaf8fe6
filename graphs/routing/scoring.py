"""From signals to probabilities: whose is it? Two conditional logistic models, by words alone and with meaning too.

Every agent is weighed by the same few weights, so they know nothing of particular agents; what competes with the agents
(vagueness and nobody, the last two candidates) has a few of its own. They were fitted on the fitting half of
`tests/routing/data`; `python -m tests.routing fit` prints them anew.
"""

import math
from collections.abc import Sequence

from graphs.routing.signals import Wording
from graphs.routing.weights import BY_MEANING, BY_WORDS

Features = tuple[float, ...]


def features(
    heads: Sequence[float], wording: Wording, near: Sequence[float] | None, youth: Sequence[float]
) -> list[Features]:
    """The numbers by which each candidate is judged: what its head says, keywords, codes, how few its texts are
    (`youth`), and the cosine with its nearest text (`near`, with meaning only)."""
    vague, nobody = len(heads) - 2, len(heads) - 1
    best_head = max(heads[:vague], default=0.0)
    found: list[Features] = []
    for at, head in enumerate(heads):
        is_nobody = float(at == nobody)
        own = (head, wording.keyword[at], wording.code[at], youth[at])
        special = (float(at == vague), is_nobody, is_nobody * head, is_nobody * best_head)
        if near is None:
            found.append((*own, *special))
        else:
            best_near = max(near[:vague], default=0.0)
            found.append((*own, *special, near[at], is_nobody * near[at], is_nobody * best_near))
    return found


def probabilities(found: Sequence[Features], *, meaning: bool) -> list[float]:
    """What the model says; they add up to 1."""
    weights = BY_MEANING if meaning else BY_WORDS
    totals = [sum(w * f for w, f in zip(weights, one, strict=True)) for one in found]
    raised = [math.exp(total - max(totals)) for total in totals]
    return [one / sum(raised) for one in raised]
