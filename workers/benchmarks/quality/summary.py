"""What judged questions add up to: accuracy with its interval; of routing a confusion table and how far to trust its
confidence; of retrieval recall, reciprocal rank and gain."""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from schema.queries.benchmarks.datasets import JudgedItem
from workers.benchmarks.quality.items import Measure

BINS = 10


def summarize_quality(measure: Measure, items: Sequence[JudgedItem]) -> dict[str, Any]:
    """Return the figures of a run."""
    judged = [one for one in items if one.correct is not None]
    right = sum(one.correct is True for one in judged)
    figures: dict[str, Any] = {
        "measure": measure,
        "judged": len(judged),
        "correct": right,
        "undecided": len(items) - len(judged),
        "accuracy": right / len(judged) if judged else None,
        "interval": list(wilson(right, len(judged))) if judged else None,
    }
    match measure:
        case "routing":
            return figures | _routing(judged)
        case "retrieval":
            return figures | _retrieval(judged)
        case _:
            return figures


def wilson(right: int, of: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927)."""
    z, share = 1.959964, right / of
    middle, spread = share + z * z / (2 * of), z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return max(0.0, (middle - spread) / (1 + z * z / of)), min(1.0, (middle + spread) / (1 + z * z / of))


def _routing(items: Sequence[JudgedItem]) -> dict[str, Any]:
    confusion: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for one in items:
        row, found = confusion[one.outcome["expected"]], one.outcome["found"]
        row[found] = row.get(found, 0) + 1
    sure = [one for one in items if one.outcome["sure"]]
    bins: list[dict[str, Any]] = []
    for number in range(BINS):
        within = [one for one in items if min(BINS - 1, int(one.outcome["confidence"] * BINS)) == number]
        if within:
            confidence = sum(one.outcome["confidence"] for one in within) / len(within)
            accuracy = sum(one.correct is True for one in within) / len(within)
            bins.append({"from": number / BINS, "n": len(within), "confidence": confidence, "accuracy": accuracy})
    gap = sum(one["n"] * abs(one["confidence"] - one["accuracy"]) for one in bins)
    return {
        "confusion": dict(confusion),
        "sure": len(sure) / len(items) if items else None,
        "accuracy_if_sure": sum(one.correct is True for one in sure) / len(sure) if sure else None,
        "calibration": bins,
        "calibration_error": gap / len(items) if items else None,
    }


def _retrieval(items: Sequence[JudgedItem]) -> dict[str, Any]:
    return {
        name: sum(one.outcome[name] for one in items) / len(items) if items else None
        for name in ("recall", "reciprocal_rank", "ndcg")
    }


def rank_figures(ranks: Sequence[int | None], k: int) -> dict[str, float]:
    """Return recall, reciprocal rank and nDCG of one search from the rank of each expected passage, from 1; None if it was not
    found. Gains are binary (Järvelin and Kekäläinen 2002)."""
    found = sorted(rank for rank in ranks if rank is not None)
    ideal = sum(1 / math.log2(place + 1) for place in range(1, min(len(ranks), k) + 1))
    gain = sum(1 / math.log2(rank + 1) for rank in dict.fromkeys(found))
    return {
        "recall": len(found) / len(ranks),
        "reciprocal_rank": 1 / found[0] if found else 0.0,
        "ndcg": min(1.0, gain / ideal) if ideal else 0.0,
    }


def changes(before: Sequence[JudgedItem], after: Sequence[JudgedItem]) -> dict[str, Any]:
    """Compare two runs question by question: what became right, what became wrong."""
    earlier = {one.question: one for one in before}
    pairs = [(earlier[one.question], one) for one in after if one.question in earlier]
    return {
        "compared": len(pairs),
        "became_right": [(old, new) for old, new in pairs if new.correct is True and old.correct is not True],
        "became_wrong": [(old, new) for old, new in pairs if old.correct is True and new.correct is not True],
        "only_here": sum(one.question not in earlier for one in after),
        "only_there": len(earlier.keys() - {one.question for one in after}),
    }
