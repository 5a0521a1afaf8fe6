"""What measurements add up to: percentiles, mean and spread of each figure, and whether two models differ by more than noise.

Intervals are bootstrapped (percentile method, Efron 1979): the mean of as many values drawn with replacement, RESAMPLES times.
The same measurements always give the same intervals. Models of one benchmark are compared in pairs: the n-th call of
one with the n-th of the other, which came right after it, so what slows down both cancels out. numpy is loaded with the
first call, so that processes which only serve results stay small.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from schema.queries.benchmarks.benchmarks import Iteration

RESAMPLES = 2000
MIN_FOR_INTERVAL = 2
MIN_FOR_VERDICT = 5
"""With fewer values, whether a difference is more than noise is left open."""
METRICS = ("first_token_ms", "tokens_per_second", "total_ms")
NANOS = 1_000_000_000


def summarize(iterations: Sequence[Iteration]) -> dict[str, dict[str, Any]]:
    """Return the figures of each model, in the order in which they were first called."""
    models = list(dict.fromkeys(one.model for one in iterations))
    return {model: _figures([one for one in iterations if one.model == model]) for model in models}


def _figures(iterations: Sequence[Iteration]) -> dict[str, Any]:
    good = [one for one in iterations if one.error is None]
    errors = Counter(one.error["code"] for one in iterations if one.error is not None)
    return {
        "iterations": len(iterations),
        "succeeded": len(good),
        "errors": dict(errors.most_common()),
        "input_tokens": sum(one.input_tokens for one in iterations),
        "output_tokens": sum(one.output_tokens for one in iterations),
        "estimated": any(one.estimated for one in iterations),
        "cost_usd": sum(one.cost_nanos for one in iterations) / NANOS,
        **{
            metric: spread([value for one in good if (value := getattr(one, metric)) is not None]) for metric in METRICS
        },
    }


def spread(values: Sequence[float]) -> dict[str, Any] | None:
    """Return how values are spread, with the 95 % interval of their mean (`low`, `high`); None for no values."""
    if not values:
        return None
    import numpy as np

    data = np.asarray(values, dtype=float)
    p50, p95, p99 = (float(value) for value in np.percentile(data, (50, 95, 99)))
    low, high = _interval(_resampled_means(data)) if len(data) >= MIN_FOR_INTERVAL else (None, None)
    return {
        "n": len(data),
        "mean": float(data.mean()),
        "stddev": float(data.std(ddof=1)) if len(data) > 1 else None,
        "min": float(data.min()),
        "p50": p50,
        "p95": p95,
        "p99": p99,
        "max": float(data.max()),
        "low": low,
        "high": high,
    }


def compare_models(iterations: Sequence[Iteration], models: Sequence[str]) -> list[dict[str, Any]]:
    """Compare each model with the first one, call by call."""
    good = {(one.model, one.number): one for one in iterations if one.error is None}
    found: list[dict[str, Any]] = []
    for model in models[1:]:
        for metric in METRICS:
            pairs = [
                (float(mine), float(base))
                for (name, number), one in good.items()
                if name == model
                and (other := good.get((models[0], number))) is not None
                and (mine := getattr(one, metric)) is not None
                and (base := getattr(other, metric)) is not None
            ]
            if pairs:
                found.append({"model": model, "baseline": models[0], "metric": metric, **_paired(pairs)})
    return found


def compare_runs(values: Sequence[float], baseline: Sequence[float]) -> dict[str, Any] | None:
    """Compare values of two runs at different times, which belong to each other in no way. None if either has no values."""
    if not values or not baseline:
        return None
    import numpy as np

    mine, base = np.asarray(values, dtype=float), np.asarray(baseline, dtype=float)
    enough = min(len(mine), len(base)) >= MIN_FOR_INTERVAL and base.mean() > 0
    ratios = _resampled_means(mine, seed=1) / _resampled_means(base, seed=2) if enough else None
    return _ratio(float(mine.mean()), float(base.mean()), ratios, n=min(len(mine), len(base)))


def _paired(pairs: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Return the ratio of the means with its interval: pairs are drawn together."""
    import numpy as np

    data = np.asarray(pairs, dtype=float)
    ratios = None
    if len(data) >= MIN_FOR_INTERVAL and data[:, 1].mean() > 0:
        drawn = np.random.default_rng(0).integers(0, len(data), (RESAMPLES, len(data)))
        means = data[drawn].mean(axis=1)
        ratios = means[:, 0] / means[:, 1]
    return _ratio(float(data[:, 0].mean()), float(data[:, 1].mean()), ratios, n=len(data))


def _ratio(mean: float, baseline: float, ratios: Any, *, n: int) -> dict[str, Any]:
    low, high = (None, None) if ratios is None else _interval(ratios)
    differs = None
    if low is not None and high is not None and n >= MIN_FOR_VERDICT:
        differs = not low <= 1 <= high
    return {"n": n, "ratio": mean / baseline if baseline else None, "low": low, "high": high, "differs": differs}


def _resampled_means(data: Any, seed: int = 0) -> Any:
    import numpy as np

    drawn = np.random.default_rng(seed).integers(0, len(data), (RESAMPLES, len(data)))
    return data[drawn].mean(axis=1)


def _interval(means: Any) -> tuple[float, float]:
    import numpy as np

    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)
