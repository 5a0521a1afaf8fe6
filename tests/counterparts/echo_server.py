"""A badly behaved vendor: it refuses every request and echoes its key."""

from typing import Any

from tests.counterparts.http_server import CounterpartServer, Exchange


class EchoServer(CounterpartServer):
    """Answers with `status`; the key is in the body, whole and in part, in a header, and in the redirect's location."""

    def __init__(self, status: int = 401, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.status = status
        self.redirect_to = "http://127.0.0.1:9"

    async def handle(self, exchange: Exchange) -> None:
        headers = exchange.record.headers
        sent = headers.get("authorization") or headers.get("x-api-key") or headers.get("api-key") or ""
        key = sent.removeprefix("Bearer ")
        said = f"Wrong key {key!r} (Authorization: {sent}); begins with {key[:12]} and ends with {key[-10:]}."
        extra = {"location": f"{self.redirect_to}/?key={key}", "x-your-key": key}
        exchange.answer(self.status, {"error": {"message": said, "type": key, "code": key}}, extra)
