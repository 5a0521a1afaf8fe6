"""Clients of vendors' APIs keep their connection open until they have their answer. Closing it cancels the job, as at the
vendor.

    the process begins to end ─► who waits for a whole answer is told where to get it; streams, which can't be gone on with
    elsewhere, have the grace ─► what is open is told so too, in its vendor's shape

No job is cancelled by that: nobody has left.
"""

from collections.abc import AsyncGenerator, Coroutine
from contextlib import AbstractContextManager, aclosing, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from uuid import UUID

from litestar import Response

from api.http.bodies.json_body import JsonRequest
from api.http.disconnect import ClientDisconnected, cancel_on_disconnect
from api.http.errors import JobEnded
from api.http.shutdown import ANOTHER, REPEATED, ServerStopping
from api.jobs.submit import Accepted
from api.resources import Resources
from workers.queue.cancel import cancel

CLIENT_CLOSED_REQUEST = 499  # nginx's status for it; the client never sees it

Result = TypeVar("Result")


class AnswerStream(Protocol):
    """An answer as a vendor's API streams it."""

    @property
    def ended(self) -> bool:
        """Whether the job has ended, whatever the client has received."""
        ...

    def read(self) -> AsyncGenerator[bytes, None]:
        """Yield what the client is sent."""
        ...


@dataclass(frozen=True)
class WaitingClient:
    """A request and the job that was accepted for it. With `background`, the job goes on without its client. `place`: the path
    where its answer will be, if not that of the job."""

    request: JsonRequest
    resources: Resources
    tenant_id: UUID
    accepted: Accepted
    background: bool = False
    place: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """The headers of every answer."""
        return {"X-Job-ID": str(self.accepted.submitted.job_id), **self.accepted.headers}

    @property
    def _is_batch_line(self) -> bool:
        return self.request.scope["user"].batch_line is not None

    def cancel_job(self) -> None:
        """Cancel the job, unless another request created it: that client may still be waiting. A line of a batch is asked for
        by one process at a time, and by another if that is lost. Whoever is left by this process hasn't left."""
        submitted, is_left = self.accepted.submitted, self.resources.shutdown.is_over
        if not is_left and not self.background and (self._is_batch_line or not submitted.replayed):
            stopping = cancel(self.resources.core, self.tenant_id, submitted.job_id)
            self.resources.background.run(stopping, "cancel-disconnected")

    async def serve(self, answer: Coroutine[Any, Any, Response[Any]]) -> Response[Any]:
        """Return the answer; cancel the job if the client leaves before there is one."""
        try:
            return await answer
        except ClientDisconnected:
            self.cancel_job()
            return Response(None, status_code=CLIENT_CLOSED_REQUEST)
        except BaseException:
            self.accepted.follower.close()
            raise

    async def wait_for(self, whole: Coroutine[Any, Any, Result], advice: str, *, what: str = "answer") -> Result:
        """Return the whole answer. Raises ClientDisconnected, JobEnded with this advice if it takes too long, and
        ServerStopping when this process begins to end."""
        limit_s = self.resources.settings.completion_timeout_s
        try:
            with self._told_of_shutdown(at_end=False):
                return await cancel_on_disconnect(self.request.receive, whole, None if self._is_batch_line else limit_s)
        except TimeoutError as error:
            self.cancel_job()
            message = f"The {what} was not complete within {limit_s:g} s. {advice}"
            raise JobEnded("timeout", message, str(self.accepted.submitted.job_id)) from error

    async def hold(self, stream: AnswerStream) -> AsyncGenerator[bytes, None]:
        """Return what `stream` sends once there is something, so that earlier errors can still set the HTTP status. Raises
        them, and ClientDisconnected."""
        pieces = stream.read()
        with self._told_of_shutdown():
            first = await cancel_on_disconnect(self.request.receive, _next(pieces))
        return self.send(stream, pieces, first)

    async def send(
        self, stream: AnswerStream, pieces: AsyncGenerator[bytes, None] | None = None, first: bytes = b""
    ) -> AsyncGenerator[bytes, None]:
        """Yield what `stream` sends: `first`, then the other `pieces`. Cancel the job if the client leaves before its end."""
        try:
            if first:
                yield first
            with self._told_of_shutdown():
                async with aclosing(stream.read() if pieces is None else pieces) as rest:
                    async for piece in rest:
                        yield piece
        finally:
            if not stream.ended:
                self.cancel_job()

    def _told_of_shutdown(self, *, at_end: bool = True) -> AbstractContextManager[None]:
        """What the client waits for ends with ServerStopping when this process ends; in the background it can be gone on with
        at another one at once. A line of a batch is asked for again by another, so it has no answer until then."""
        if self._is_batch_line:
            return nullcontext()
        job_id = str(self.accepted.submitted.job_id)
        again = REPEATED if "idempotency-key" in self.request.headers else ANOTHER
        error = ServerStopping(self.place or f"/api/jobs/{job_id}", job_id, again)
        follower = self.accepted.follower
        return self.resources.shutdown.tells(lambda: follower.interrupt(error), at_end=at_end and not self.background)


async def _next(pieces: AsyncGenerator[bytes, None]) -> bytes:
    return await anext(pieces)
