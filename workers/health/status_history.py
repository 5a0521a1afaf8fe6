"""The recent statuses of a part, and when a change has lasted long enough to be reported."""

from collections import deque
from dataclasses import dataclass, field

from schema.queries.health.service_parts import PartStatus

DAMPING_S = 8.0
"""How long a part must be worse or better. With a check every 3 s that takes up to 2 s, an outage is reported within 14 s."""
SURE_S = 2.5
"""How long a part that has not been up for DAMPING_S must have been down, which is two checks, to be reported as down."""
FLAPPING_S = 600.0
MAX_DOUBLINGS = 4


@dataclass(frozen=True)
class StatusChange:
    """A part's new status, since when, and why it is not up."""

    status: PartStatus
    at: float
    error: str | None = None


@dataclass
class StatusHistory:
    """Since when a part has been down, not up, not down, and up without a break; None if it is not now. Times are of one
    monotonic clock."""

    down_at: float | None = None
    not_up_at: float | None = None
    not_down_at: float | None = None
    up_at: float | None = None
    error: str | None = None
    error_at: float | None = None
    _outages: deque[float] = field(default_factory=lambda: deque[float](maxlen=MAX_DOUBLINGS + 1))

    def note(self, status: PartStatus, seen_at: float, error: str | None, *, lasted_s: float = 0.0) -> None:
        """Note what a check found, and for how long it has been so already."""
        at = seen_at - lasted_s
        self.down_at = _since(self.down_at, at, status == "down")
        self.not_up_at = _since(self.not_up_at, at, status != "up")
        self.not_down_at = _since(self.not_down_at, at, status != "down")
        self.up_at = _since(self.up_at, at, status == "up")
        if error:
            self.error, self.error_at = error, seen_at

    def change(self, reported: PartStatus, now: float, damping_s: float) -> StatusChange | None:
        """Return the change to report of a part whose `reported` status this was; None if there is none, or none yet."""
        calm_s = damping_s * 2 ** min(max(0, self._recent(now) - 1), MAX_DOUBLINGS)
        if reported != "down" and self.down_at is not None and now - self.down_at >= damping_s:
            return StatusChange("down", self.down_at, self.error)
        if reported == "up" and self.not_up_at is not None and now - self.not_up_at >= damping_s:
            # An outage may begin with a check that only took long: it is not reported as less than it is, and then again.
            if self.down_at is None:
                return StatusChange("degraded", self.not_up_at, self.error)
            if now - self.down_at >= SURE_S:
                return StatusChange("down", self.not_up_at, self.error)
        if reported != "up" and self.up_at is not None and now - self.up_at >= calm_s:
            return StatusChange("up", self.up_at)
        if (
            reported == "down"
            and self.up_at is None
            and self.not_down_at is not None
            and now - self.not_down_at >= calm_s
        ):
            return StatusChange("degraded", self.not_down_at, self.error)
        return None

    def works_since(self, reported: PartStatus) -> float | None:
        """Return since when a part that was not reported as up has worked; None if it does not, or was reported as up."""
        return None if reported == "up" else self.up_at

    def count_outage(self, now: float) -> None:
        """Remember that the part was reported as no longer up: the more often, the longer it must be up."""
        self._outages.append(now)

    def _recent(self, now: float) -> int:
        return sum(now - at < FLAPPING_S for at in self._outages)


def _since(before: float | None, at: float, holds: bool) -> float | None:
    if not holds:
        return None
    return at if before is None else min(before, at)
