"""Percentiles from the buckets of a histogram, estimated as Prometheus does: evenly spread within a bucket."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from prometheus_client.core import Metric

DIGITS = 4


@dataclass
class Distribution:
    """One histogram: how many values there are up to each bound."""

    labels: dict[str, str]
    count: int = 0
    sum: float = 0.0
    bounds: dict[float, float] = field(default_factory=dict[float, float])

    @property
    def mean(self) -> float | None:
        """The mean, None without values."""
        return round(self.sum / self.count, DIGITS) if self.count else None

    def quantile(self, share: float) -> float | None:
        """Return the value that this share of the values doesn't exceed; None without values. Above the last bound, that is all
        that is known."""
        wanted, below, reached = share * self.count, 0.0, 0.0
        for bound, number in sorted(self.bounds.items()):
            if self.count and number >= wanted:
                if math.isinf(bound):
                    return below
                return round(below + (bound - below) * (wanted - reached) / max(number - reached, 1), DIGITS)
            below, reached = bound, number
        return None


def distributions(family: Metric) -> Iterable[Distribution]:
    """Return the histograms of a metric, one for each combination of labels."""
    found: dict[tuple[tuple[str, str], ...], Distribution] = {}
    for sample in family.samples:
        labels = {name: value for name, value in sample.labels.items() if name != "le"}
        one = found.setdefault(tuple(sorted(labels.items())), Distribution(labels))
        if sample.name.endswith("_bucket"):
            one.bounds[float(sample.labels["le"])] = sample.value
        elif sample.name.endswith("_sum"):
            one.sum = sample.value
        elif sample.name.endswith("_count"):
            one.count = int(sample.value)
    return found.values()
