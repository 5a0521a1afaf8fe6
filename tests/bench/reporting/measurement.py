"""What a figure returns: lines for the table, and everything that JSON keeps."""

from dataclasses import dataclass, field
from typing import Any, Literal

from tests.bench.profiling.process_usage import Usage


@dataclass(frozen=True, kw_only=True)
class Line:
    """One row of the table: `figure` in `unit` is what counts, against `need` where something is required.

    `direct` and `through` are the same thing measured at the stand-in and through headrace, where that makes sense.
    """

    what: str
    figure: float
    unit: str
    direct: float | None = None
    through: float | None = None
    need: float | None = None
    sense: Literal["at most", "at least"] = "at most"

    @property
    def ratio(self) -> float | None:
        """Through over direct."""
        return self.through / self.direct if self.direct and self.through is not None else None

    @property
    def verdict(self) -> Literal["reached", "short", ""]:
        """Whether what is required is there."""
        if self.need is None:
            return ""
        good = self.figure <= self.need if self.sense == "at most" else self.figure >= self.need
        return "reached" if good else "short"


@dataclass(kw_only=True)
class Measurement:
    """All of one figure: `runs` are each run's percentiles, `failures` what did not complete, in words."""

    name: str
    title: str
    lines: list[Line] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    usage: dict[str, Usage] = field(default_factory=dict)

    def failed(self, said: list[str], asked: int, where: str) -> None:
        """Note that some of `asked` chats were not right."""
        if said:
            self.failures.append(f"{where}: {len(said)} of {asked} did not complete, the first: {said[0]}")
