"""Percentiles and medians of samples, as the report wants them."""

from collections.abc import Sequence
from math import ceil, floor


def percentile(samples: Sequence[float], share: float) -> float:
    """Return the value below which `share` (0–1) of the samples lie, between neighbours in proportion; NaN of nothing."""
    if not samples:
        return float("nan")
    ordered = sorted(samples)
    place = share * (len(ordered) - 1)
    low, high = floor(place), ceil(place)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def median(samples: Sequence[float]) -> float:
    """Return the value in the middle."""
    return percentile(samples, 0.5)


def spread(samples: Sequence[float]) -> dict[str, float]:
    """Return what JSON keeps of many samples."""
    shares = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return {"n": len(samples), **{name: round(percentile(samples, share), 3) for name, share in shares.items()}}
