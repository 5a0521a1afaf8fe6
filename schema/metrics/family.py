"""One metric by its name, with a child for each combination of its labels' values.

It is made when it is first used: by then the process has said where its values are kept (`shared_values.py`). Children are
kept, as looking one up in prometheus-client takes longer than counting with it.
"""

import threading
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

Metric = TypeVar("Metric", Counter, Gauge, Histogram)

REGISTRY = CollectorRegistry()
"""What this process has counted itself."""
MAX_CHILDREN = 1_000
OTHER = "other"
"""The value of all labels of what comes when a metric has MAX_CHILDREN; never reached unless a label is wrong."""


class Family(Generic[Metric]):
    """`of(*values)` returns the metric with these labels, to count with at once."""

    def __init__(
        self, kind: type[Metric], name: str, description: str, labels: tuple[str, ...] = (), **options: object
    ) -> None:
        self.kind, self.name, self.description, self.labels, self.options = kind, name, description, labels, options
        self._metric: Metric | None = None
        self._children: dict[tuple[str, ...], Metric] = {}
        self._lock = threading.Lock()

    def of(self, *values: str) -> Metric:
        """Return the child for the labels' values, in their order."""
        child = self._children.get(values)
        return self._make(values) if child is None else child

    def _make(self, values: tuple[str, ...]) -> Metric:
        with self._lock:
            if len(self._children) >= MAX_CHILDREN and values not in self._children:
                values = (OTHER,) * len(values)
            if values not in self._children:
                self._children[values] = self._parent().labels(*values) if self.labels else self._parent()
            return self._children[values]

    def _parent(self) -> Metric:
        if self._metric is None:
            options: dict[str, object] = {**self.options, "registry": REGISTRY}
            self._metric = self.kind(self.name, self.description, self.labels, **options)  # type: ignore[arg-type]
        return self._metric
