"""Streams a message to its client.

Nothing is sent before the first word, so that earlier errors can still set the HTTP status, as Anthropic's SDKs expect. After
`HOLD_HEADERS_S` without one the message begins, and pings are sent, so that no proxy times out.
"""

import asyncio
from collections.abc import AsyncGenerator

from api.anthropic.message_fold import MessageFold, encode_event
from api.http.errors import JobEnded, status_for_code
from api.http.vendor_formats.anthropic_errors import error_out
from api.openai.replay_dedup import ReplayMismatch
from api.openai.stream import HOLD_HEADERS_S, RELEVANT_EVENTS
from schema.events import decode_event, read_frames
from workers.stream.follow import Follower, SlowReader

PING = encode_event("ping", {})
RESTARTED = "The answer was restarted and differs. Send the request again."


class MessageStream:
    """A stream of events. `ended` is true once the job has ended, whatever the client has received."""

    def __init__(self, follower: Follower, model: str, *, native: bool, input_tokens: int, request_id: str) -> None:
        self._follower, self._input_tokens, self._request_id = follower, input_tokens, request_id
        self._fold = MessageFold(follower.job_id, model, native=native)

    @property
    def ended(self) -> bool:
        return self._fold.ended

    async def read(self) -> AsyncGenerator[bytes, None]:
        """Yield events. Raises JobEnded if the job fails before anything was yielded; later errors are events."""
        loop = asyncio.get_running_loop()
        hold_until = loop.time() + HOLD_HEADERS_S
        begun = False
        async with self._follower as follower:
            try:
                async for chunk in follower.chunks(heartbeat_s=HOLD_HEADERS_S):
                    output = self._convert(chunk)
                    if not output and (begun or loop.time() > hold_until):
                        output = PING
                    if output:
                        yield output if begun else self._begin() + output
                        begun = True
            except JobEnded as error:
                if not begun:
                    raise
                yield self._error(error.code, error.message)
            except ReplayMismatch:
                yield self._error("stream_restarted", RESTARTED)
            except SlowReader as error:
                yield self._error(error.code, error.message)

    def _begin(self) -> bytes:
        return b"".join(encode_event(*event) for event in self._fold.begin(self._input_tokens))

    def _convert(self, chunk: bytes) -> bytes:
        """Convert the frames in `chunk`; empty if none of them is relevant."""
        return b"".join(
            encode_event(*event)
            for frame in read_frames(chunk)
            if frame.type in RELEVANT_EVENTS
            for event in self._fold.take(frame.seq, decode_event(frame))
        )

    def _error(self, code: str, message: str) -> bytes:
        status = status_for_code(code, openai=True)
        body = error_out(status, message, code=code, request_id=self._request_id)
        return encode_event("error", {"error": body.error, "request_id": body.request_id})
