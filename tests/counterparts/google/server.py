"""A model server that speaks Gemini's protocol: `python -m tests.counterparts.google.server --port N`.

It refuses what Google refuses (`rules.py`). Behaviour is chosen by the model's name (`behaviours.py`); models called
`gemini-…` follow their scripts and sign their thoughts. Tokens are words.
"""

import argparse
import base64
import json
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.counterparts.behaviours import Behaviour, Turn, parse
from tests.counterparts.google.rules import Refused, camel, check_request
from tests.counterparts.http_server import Exchange, run
from tests.counterparts.openai.server import vector
from tests.counterparts.wires import VendorServer, Wire, drive, words_of

LISTED = ("text-100", "text-100-at-50", "reasoning", "tool-call", "gemini-3-flash-preview", "gemini-embedding-001")
STATUSES = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
            429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE"}  # fmt: skip
REASONS = {"stop": "STOP", "tool_calls": "STOP", "length": "MAX_TOKENS"}
RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.2s"}


class GoogleServer(VendorServer):
    """generateContent (stream and not), countTokens, embeddings and models, under both of its versions."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.signatures: set[str] = set()
        self.finish: dict[str, dict[str, Any]] = {}
        """By model: fields that the last candidate gets, such as another finish reason; `blocked` for a blocked prompt."""

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1beta"

    def is_chat(self, path: str) -> bool:
        return "enerateContent" in path

    async def handle(self, exchange: Exchange) -> None:
        url = urlsplit(exchange.path)
        route = url.path.removeprefix("/v1beta").removeprefix("/v1").strip("/")
        model, _, method = route.removeprefix("models/").partition(":")
        exchange.record.model = unquote(model)
        if self.key and exchange.record.headers.get("x-goog-api-key") != self.key:
            reason = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
            exchange.answer(400, error(400, "API key not valid. Please pass a valid API key.", reason))
        elif exchange.method == "GET":
            self._models(exchange, parse_qs(url.query), route)
        elif method in ("generateContent", "streamGenerateContent"):
            await self._generate(exchange, stream="alt=sse" in url.query)
        elif method == "batchEmbedContents":
            texts = [one["content"]["parts"][0]["text"] for one in exchange.record.body["requests"]]
            exchange.answer(200, {"embeddings": [{"values": vector(text)} for text in texts]})
        elif method == "countTokens":
            exchange.answer(200, {"totalTokens": words_of(texts_of(camel(exchange.record.body)))})
        else:
            exchange.answer(404, error(404, f"No route {route}"))

    async def _generate(self, exchange: Exchange, *, stream: bool) -> None:
        model, body = exchange.record.model, camel(exchange.record.body)
        try:
            check_request(body, model, self.signatures)
        except Refused as refused:
            exchange.answer(400, error(400, str(refused)))
            return
        asked = {**body, "messages": openai_messages(body), "model": model}
        does = self.scripts.take(model, asked) or parse(model)
        wire = GoogleWire(self, model, words_of(texts_of(body)))
        cap = (body.get("generationConfig") or {}).get("maxOutputTokens")
        if does is None:
            said = f"models/{model} is not found for API version v1beta, or is not supported for generateContent."
            exchange.answer(404, error(404, said))
        elif isinstance(does, Turn) and does.status != 200:
            exchange.answer(does.status, error(does.status, does.said))
        elif isinstance(does, Behaviour) and does.kind == "refuse":
            exchange.answer(int(does.n), error(int(does.n), "This request is refused."))
        elif isinstance(does, Behaviour) and does.kind == "slow-connect":
            await exchange.until_gone()
        elif isinstance(does, Behaviour) and self.still_fails(does, [model, body]):
            limited = does.kind == "rate-limit"
            answer = error(429, "Resource has been exhausted.", RETRY) if limited else error(503, "Overloaded.")
            exchange.answer(429 if limited else 503, answer)
        elif "blocked" in self.finish.get(model, {}):
            wire.send_blocked(exchange, self.finish[model]["blocked"])
        elif stream:
            await drive(exchange, does, wire, cap=cap)
        else:
            exchange.answer(200, wire.whole(does))

    def _models(self, exchange: Exchange, query: dict[str, list[str]], route: str) -> None:
        name = route.removeprefix("models").strip("/")
        if name:
            known = name in LISTED or parse(name) is not None or self.scripts.knows(name)
            missing = error(404, f"Model is not found: models/{name} for api version v1beta")
            exchange.answer(200 if known else 404, info(name) if known else missing)
            return
        start = int(query.get("pageToken", ["0"])[0])
        end = start + min(int(query.get("pageSize", ["50"])[0]), 4)  # pages are short, so that there are several
        more = {"nextPageToken": str(end)} if end < len(LISTED) else {}
        exchange.answer(200, {"models": [info(name) for name in LISTED[start:end]], **more})


class GoogleWire(Wire):
    """Each frame is a whole GenerateContentResponse."""

    def __init__(self, server: GoogleServer, model: str, read: int) -> None:
        self._server, self._model, self._read = server, model, read

    def text(self, said: str) -> bytes:
        return self._frame([{"text": said}])

    def thought(self, said: str) -> bytes:
        return self._frame([{"text": said, "thought": True}])

    def call(self, index: int, name: str, arguments: str, *, signed: bool) -> bytes:
        return self._frame([self._call(index, name, arguments, signed=signed)])

    def _call(self, index: int, name: str, arguments: str, *, signed: bool) -> dict[str, Any]:
        part: dict[str, Any] = {"functionCall": {"name": name, "args": json.loads(arguments)}}
        if signed and index == 0:  # of parallel calls, the first is signed
            signature = base64.b64encode(f"thought {len(self._server.signatures)}".encode()).decode()
            self._server.signatures.add(signature)
            part["thoughtSignature"] = signature
        return part

    def end(self, reason: str, written: int | None) -> bytes:
        candidate = {"content": {"role": "model", "parts": [{"text": ""}]}, "finishReason": REASONS[reason], "index": 0}
        usage = {} if written is None else {"usageMetadata": self._usage(written)}
        return self._event({"candidates": [candidate | self._server.finish.get(self._model, {})], **usage})

    def error(self, status: int, message: str) -> bytes:
        return json.dumps(error(status, message), indent=2).encode()

    def send_blocked(self, exchange: Exchange, reason: str) -> None:
        exchange.begin(self.content_type)
        usage = {"promptTokenCount": self._read, "totalTokenCount": self._read}
        frame = self._event({"promptFeedback": {"blockReason": reason}, "usageMetadata": usage})
        exchange.write(b"%x\r\n%s\r\n" % (len(frame), frame))
        exchange.end()

    def whole(self, does: Behaviour | Turn) -> dict[str, Any]:
        turn = does if isinstance(does, Turn) else Turn(" ".join(["water"] * does.tokens))
        calls = [
            self._call(i, name, given if isinstance(given, str) else json.dumps(given), signed=turn.signed)
            for i, (name, given) in enumerate(turn.calls)
        ]
        parts = [*([{"text": turn.said}] if turn.said else []), *calls]
        candidate = {"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}
        candidate |= self._server.finish.get(self._model, {})
        return {"candidates": [candidate], "usageMetadata": self._usage(turn.tokens), "modelVersion": self._model}

    def _usage(self, written: int) -> dict[str, int]:
        total = {"totalTokenCount": self._read + written}
        return {"promptTokenCount": self._read, "candidatesTokenCount": written, **total}

    def _frame(self, parts: list[dict[str, Any]]) -> bytes:
        return self._event({"candidates": [{"content": {"role": "model", "parts": parts}, "index": 0}]})

    def _event(self, body: dict[str, Any]) -> bytes:
        return b"data: " + json.dumps({**body, "modelVersion": self._model, "responseId": "r1"}).encode() + b"\r\n\r\n"


def texts_of(body: dict[str, Any]) -> list[str]:
    """All words of a prompt."""
    contents = [*body.get("contents", ()), body.get("systemInstruction") or {}]
    parts = [part for content in contents for part in content.get("parts", ())]
    return [str(part.get("text") or (part.get("functionResponse") or {}).get("response") or "") for part in parts]


def openai_messages(body: dict[str, Any]) -> list[dict[str, Any]]:
    """A prompt in OpenAI's format, which scripts read."""
    found: list[dict[str, Any]] = []
    for content in body.get("contents", ()):
        for part in content["parts"]:
            if call := part.get("functionCall"):
                function = {"name": call["name"], "arguments": call.get("args", {})}
                found.append({"role": "assistant", "tool_calls": [{"id": call.get("id"), "function": function}]})
            elif result := part.get("functionResponse"):
                found.append({"role": "tool", "content": json.dumps(result["response"], ensure_ascii=False)})
            else:
                role = "assistant" if content["role"] == "model" else "user"
                found.append({"role": role, "content": part.get("text", "")})
    return found


def info(name: str) -> dict[str, Any]:
    """What Google says of a model."""
    methods = ["embedContent"] if "embedding" in name else ["generateContent", "countTokens"]
    sizes = {"inputTokenLimit": 1_048_576, "outputTokenLimit": 65_536}
    return {"name": f"models/{name}", "displayName": name, **sizes, "supportedGenerationMethods": methods}


def error(status: int, message: str, *details: dict[str, Any]) -> dict[str, Any]:
    """Google's error body."""
    found = {"code": status, "message": message, "status": STATUSES.get(status, "UNKNOWN")}
    return {"error": {**found, "details": list(details)} if details else found}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--key", default="")
    args = parser.parse_args()
    run(GoogleServer(key=args.key), args.port)
