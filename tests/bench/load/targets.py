"""Who is asked: the model stand-in itself, or headrace by one of the two ways that users take."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["direct", "native", "openai"]

MARKS: dict[Kind, bytes] = {
    "direct": b'"delta":{"content":"',
    "native": b"\nevent: message.delta",
    "openai": b'"delta":{"content":"',
}
ENDS: dict[Kind, bytes] = {
    "direct": b"data: [DONE]",
    "native": b"\nevent: job.succeeded",
    "openai": b"data: [DONE]",
}


@dataclass(frozen=True)
class Target:
    """`direct`: the stand-in. `native`: `POST /api/chat`, a new session each time. `openai`: `/v1/chat/completions`."""

    kind: Kind
    port: int
    key: str = ""

    @property
    def mark(self) -> bytes:
        """What stands before the first token's text."""
        return MARKS[self.kind]

    @property
    def end(self) -> bytes:
        """What stands at the end of an answer that is whole."""
        return ENDS[self.kind]

    def rejoin(self, job_id: str) -> bytes:
        """Return the bytes of a request for a job's stream after its first event."""
        head = ("Host: bench", f"Authorization: Bearer {self.key}", "Last-Event-ID: 1", "Accept: text/event-stream")
        return "\r\n".join([f"GET /api/jobs/{job_id}/events HTTP/1.1", *head]).encode() + b"\r\n\r\n"

    def cancel(self, job_id: str) -> bytes:
        """Return the bytes of a request that cancels a job."""
        head = ("Host: bench", f"Authorization: Bearer {self.key}", "Content-Length: 0")
        return "\r\n".join([f"POST /api/jobs/{job_id}/cancel HTTP/1.1", *head]).encode() + b"\r\n\r\n"

    def request(
        self,
        model: str,
        text: str = "What turns the wheel?",
        *,
        stream: bool = True,
        agent: str | None = None,
        collections: Sequence[str] = (),
    ) -> bytes:
        """Return the bytes of one request; with `stream` false the native one only leaves the job behind. Only the native one
        names an `agent`, and the `collections` that are searched."""
        if self.kind == "native":
            path, body = (
                "/api/chat",
                {"message": text, "model": f"openai/{model}"}
                | ({"agent": agent} if agent else {})
                | ({"collections": list(collections)} if collections else {}),
            )
            extra = "Accept: text/event-stream" if stream else "Prefer: respond-async"
        else:
            path, extra = "/v1/chat/completions", "Accept: text/event-stream"
            name = model if self.kind == "direct" else f"openai/{model}"
            body = {"model": name, "messages": [{"role": "user", "content": text}], "stream": stream}
        data = json.dumps(body).encode()
        lines = [
            f"POST {path} HTTP/1.1",
            "Host: bench",
            "Content-Type: application/json",
            f"Content-Length: {len(data)}",
            f"Authorization: Bearer {self.key or 'none'}",
            extra,
        ]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + data
