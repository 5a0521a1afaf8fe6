"""What a process that stops still serves, and whom it tells of its end.

    begin ──► native streams end, whoever waits for a job's answer is told where to get it ──grace──► end ──► all others too

The grace is for what can't be gone on with elsewhere: streams in vendors' formats, uploads, searches. No job ends with it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from api.http.errors import JobEnded

Tell = Callable[[], object]
REPEATED = "The same request with the same Idempotency-Key waits for the same job."
ANOTHER = "The request had no Idempotency-Key, so sent again it would be another job."


class ServerStopping(JobEnded):
    """The process is about to end, and the job goes on: `place` is the path where its answer will be, and `again`
    says what the same request would do."""

    def __init__(self, place: str, job_id: str, again: str) -> None:
        message = f"This server is being restarted, and the job goes on: GET {place} has its answer when it has ended. "
        super().__init__("server_stopping", message + again, job_id)
        self.is_repeatable = again != ANOTHER


class Shutdown:
    """The end of this process: it `has_begun`, and `is_over` when the grace has passed."""

    def __init__(self) -> None:
        self.has_begun = self.is_over = False
        self._at_begin: dict[object, Tell] = {}
        self._at_end: dict[object, Tell] = {}

    @contextmanager
    def tells(self, tell: Tell, *, at_end: bool = False) -> Iterator[None]:
        """Call `tell` once if the shutdown begins while this is entered, or at its end; at once if that has been."""
        waiting, key = self._at_end if at_end else self._at_begin, object()
        waiting[key] = tell
        try:
            if self.is_over or (self.has_begun and not at_end):
                tell()
            yield
        finally:
            waiting.pop(key, None)

    def begin(self) -> None:
        """Tell all who don't get the grace."""
        self.has_begun = True
        _tell(self._at_begin)

    def end(self) -> None:
        """Tell all who got the grace."""
        self.has_begun = self.is_over = True
        _tell(self._at_end)


def _tell(waiting: dict[object, Tell]) -> None:
    for tell in tuple(waiting.values()):
        tell()
