"""What a benchmark of quality is to judge, as it is stored in its row."""

from uuid import UUID

import msgspec

from workers.benchmarks.quality.items import Measure


class QualitySettings(msgspec.Struct, frozen=True, kw_only=True):
    """Which version of which dataset, and what of it: `routing` to agents, `retrieval` of passages, or the `answers` of a
    `model`, or of an `agent` (a name, or `auto`), whose tools may change something only with `allow_side_effects`.
    `collections` are ids; `k` is how many passages a search returns."""

    dataset: str
    dataset_id: UUID
    version: int
    measure: Measure
    model: str | None = None
    judge: str | None = None
    agent: str | None = None
    allow_side_effects: bool = False
    collections: list[str] | None = None
    k: int = 10
    concurrency: int = 1
    max_tokens: int = 512
    temperature: float | None = None
    seed: int | None = None

    @property
    def models(self) -> list[str]:
        """The models that are called."""
        return list(dict.fromkeys(name for name in (self.model, self.judge) if name is not None))
