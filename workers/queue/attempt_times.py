"""The times of one attempt, for metrics, its log line and the decision whether a client may still be kept waiting."""

from collections.abc import Callable

from schema.job_kinds import Kind
from schema.metrics.catalog import FIRST_TOKEN, TOKEN_GAP


class AttemptTimes:
    """`clock` is monotonic, in seconds. `first_token_s` is None until a part of the answer was sent."""

    def __init__(self, kind: Kind, clock: Callable[[], float]) -> None:
        self._kind, self._clock = kind, clock
        self._began = clock()
        self.first_token_s: float | None = None

    @property
    def ran_s(self) -> float:
        """How long the attempt has run so far."""
        return self._clock() - self._began

    @property
    def is_heard(self) -> bool:
        """Whether a part of the answer was sent."""
        return self.first_token_s is not None

    def heard(self) -> None:
        """The first part of the answer is being sent."""
        self.first_token_s = self.ran_s
        FIRST_TOKEN.of(self._kind).observe(self.first_token_s)

    def completed(self, *, parts: int) -> None:
        """The answer is complete, in so many parts. Their mean gap is measured: a measurement for each would cost as much as
        sending them."""
        if parts > 1 and self.first_token_s is not None:
            TOKEN_GAP.of(self._kind).observe((self.ran_s - self.first_token_s) / (parts - 1))
