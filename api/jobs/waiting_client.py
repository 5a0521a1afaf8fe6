"""Clients of vendors' APIs keep their connection open until they have their answer. Closing it cancels the job, as at the
vendor."""

from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from uuid import UUID

from litestar import Response

from api.http.bodies.json_body import JsonRequest
from api.http.disconnect import ClientDisconnected, cancel_on_disconnect
from api.http.errors import JobEnded
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
    """A request and the job that was accepted for it. With `background`, the job goes on without its client."""

    request: JsonRequest
    resources: Resources
    tenant_id: UUID
    accepted: Accepted
    background: bool = False

    @property
    def headers(self) -> dict[str, str]:
        """The headers of every answer."""
        return {"X-Job-ID": str(self.accepted.submitted.job_id), **self.accepted.headers}

    @property
    def _is_batch_line(self) -> bool:
        return self.request.scope["user"].batch_line is not None

    def cancel_job(self) -> None:
        """Cancel the job, unless another request created it: that client may still be waiting. A line of a batch is asked for
        by one process at a time, and by another if that is lost."""
        submitted = self.accepted.submitted
        if not self.background and (self._is_batch_line or not submitted.replayed):
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
        """Return the whole answer. Raises ClientDisconnected, and JobEnded with this advice if it takes too long."""
        limit_s = self.resources.settings.completion_timeout_s
        try:
            return await cancel_on_disconnect(self.request.receive, whole, None if self._is_batch_line else limit_s)
        except TimeoutError as error:
            self.cancel_job()
            message = f"The {what} was not complete within {limit_s:g} s. {advice}"
            raise JobEnded("timeout", message, str(self.accepted.submitted.job_id)) from error

    async def hold(self, stream: AnswerStream) -> AsyncGenerator[bytes, None]:
        """Return what `stream` sends once there is something, so that earlier errors can still set the HTTP status. Raises
        them, and ClientDisconnected."""
        pieces = stream.read()
        first = await cancel_on_disconnect(self.request.receive, _next(pieces))
        return self.send(stream, pieces, first)

    async def send(
        self, stream: AnswerStream, pieces: AsyncGenerator[bytes, None] | None = None, first: bytes = b""
    ) -> AsyncGenerator[bytes, None]:
        """Yield what `stream` sends: `first`, then the other `pieces`. Cancel the job if the client leaves before its end."""
        try:
            if first:
                yield first
            async with aclosing(stream.read() if pieces is None else pieces) as rest:
                async for piece in rest:
                    yield piece
        finally:
            if not stream.ended:
                self.cancel_job()


async def _next(pieces: AsyncGenerator[bytes, None]) -> bytes:
    return await anext(pieces)
