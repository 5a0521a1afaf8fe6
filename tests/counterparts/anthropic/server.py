"""A model server that speaks Anthropic's Messages protocol: `python -m tests.counterparts.anthropic.server --port N`.

It refuses what the vendor refuses (`rules.py`), and remembers what was marked for its cache. Behaviour is chosen by
the model's name (`behaviours.py`). Tokens are words.
"""

import argparse
import json
from collections import Counter
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.counterparts.anthropic.rules import ADAPTIVE_ONLY, Refused, blocks_of, check_request, marked_blocks
from tests.counterparts.anthropic.stream import Answer, error_body, whole_message
from tests.counterparts.behaviours import Behaviour, Scripts, Turn, parse, says
from tests.counterparts.http_server import CounterpartServer, Exchange, Record, run

LISTED = ("text-100", "text-100-at-50", "claude-sonnet-5", "claude-sonnet-4-5", "tool-call")
REQUEST_ID = {"request-id": "req_011CSHoEeqs5C35K2UUqR7Fy"}
KINDS = {400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error",
         404: "not_found_error", 413: "request_too_large", 422: "invalid_request_error", 429: "rate_limit_error",
         500: "api_error", 504: "timeout_error", 529: "overloaded_error"}  # fmt: skip


class AnthropicServer(CounterpartServer):
    """Messages (stream and not), counted tokens and models."""

    def __init__(self, *, key: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._key = key
        self._failed: Counter[str] = Counter()
        self._cached: set[str] = set()
        self.scripts = Scripts()
        self.script, self.answer_with = self.scripts.script, self.scripts.answer_with

    @property
    def records(self) -> list[Record]:
        """The messages that were asked for, oldest first."""
        return [record for record in self.requests if urlsplit(record.path).path == "/v1/messages"]

    async def handle(self, exchange: Exchange) -> None:
        headers, route = exchange.record.headers, urlsplit(exchange.path).path
        sent = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        if not sent or (self._key and sent != self._key):
            self._fail(exchange, 401, "invalid x-api-key")
        elif "anthropic-version" not in headers:
            self._fail(exchange, 400, "anthropic-version: header is required")
        elif route in ("/v1/messages", "/v1/messages/count_tokens"):
            await self._take(exchange, counts=route.endswith("count_tokens"))
        elif route == "/v1/models" or route.startswith("/v1/models/"):
            self._models(exchange, route.removeprefix("/v1/models").strip("/"))
        else:
            self._fail(exchange, 404, "Not found")

    async def _take(self, exchange: Exchange, *, counts: bool) -> None:
        body = exchange.record.body
        try:
            check_request({"max_tokens": 1, **body} if counts else body, exchange.record.headers)
        except Refused as refused:
            self._fail(exchange, 400, str(refused))
            return
        if counts:
            exchange.answer(200, {"input_tokens": count_words(marked_blocks(body))}, REQUEST_ID)
        else:
            await self._answer(exchange, body)

    async def _answer(self, exchange: Exchange, body: dict[str, Any]) -> None:
        chosen = self.scripts.take(body["model"], body) or _named(body["model"])
        if isinstance(chosen, Turn) and chosen.status != 200:
            self._fail(exchange, chosen.status, chosen.said)
        elif chosen is None:
            self._fail(exchange, 404, f"model: {body['model']}")
        elif isinstance(chosen, Behaviour) and chosen.kind == "refuse":
            self._fail(exchange, int(chosen.n), "This request is refused.")
        elif isinstance(chosen, Behaviour) and chosen.kind == "slow-connect":
            await exchange.until_gone()
        elif isinstance(chosen, Behaviour) and self._fails(chosen, body):
            limited = chosen.kind == "rate-limit"
            self._fail(exchange, 429 if limited else 529, "Overloaded", {"retry-after": "0.2"} if limited else {})
        else:
            answer = Answer(exchange, chosen, self._usage(body), number=len(self.requests))
            if body.get("stream"):
                await answer.stream()
            else:
                exchange.answer(200, whole_message(answer), REQUEST_ID)

    def _usage(self, body: dict[str, Any]) -> dict[str, Any]:
        """Count the prompt; what was marked before is read from the cache, what is marked now is written to it, for an hour if
        the first mark says so."""
        blocks = marked_blocks(body)
        marked = [i for i, block in enumerate(blocks) if "cache_control" in block]
        marked += [len(blocks) - 1] if "cache_control" in body else []
        written = max((i + 1 for i in marked), default=0)
        keys = [json.dumps([_unmarked(block) for block in blocks[: i + 1]]) for i in range(written)]
        read = max((i + 1 for i, key in enumerate(keys) if key in self._cached), default=0)
        self._cached.update(keys[i] for i in marked)
        counts = [count_words(part) for part in (blocks[:read], blocks[read:written], blocks[max(read, written) :])]
        names = ("cache_read_input_tokens", "cache_creation_input_tokens", "input_tokens")
        marks = [block["cache_control"] for block in (*blocks, body) if "cache_control" in block]
        time = "1h" if marks and marks[0].get("ttl") == "1h" else "5m"
        stored = {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}
        stored |= {f"ephemeral_{time}_input_tokens": counts[1]}
        return {**dict(zip(names, counts, strict=True)), "cache_creation": stored}

    def _fails(self, behaviour: Behaviour, body: dict[str, Any]) -> bool:
        if behaviour.kind not in ("rate-limit", "overloaded"):
            return False
        prompt = json.dumps([body["model"], [blocks_of(message) for message in body["messages"]]])
        self._failed[prompt] += 1
        return self._failed[prompt] <= behaviour.n

    def _models(self, exchange: Exchange, name: str) -> None:
        if name:
            known = name in LISTED or _named(name) is not None or self.scripts.knows(name)
            exchange.answer(200, model_info(name), REQUEST_ID) if known else self._fail(exchange, 404, f"model: {name}")
            return
        query = parse_qs(urlsplit(exchange.path).query)
        after, limit = query.get("after_id", [""])[0], int(query.get("limit", ["20"])[0])
        names = list(LISTED[LISTED.index(after) + 1 if after in LISTED else 0 :])
        page = [model_info(name) for name in names[: min(limit, 3)]]  # pages are short, so that there are several
        ids = [model["id"] for model in page]
        more = {"has_more": len(names) > len(page), "first_id": ids[0] if ids else None}
        exchange.answer(200, {"data": page, **more, "last_id": ids[-1] if ids else None}, REQUEST_ID)

    def _fail(self, exchange: Exchange, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        exchange.answer(status, error_body(KINDS.get(status, "api_error"), message), {**REQUEST_ID, **(headers or {})})


def _named(model: str) -> Behaviour | Turn | None:
    """Return what a model does by its name; those that the vendor has say ten words."""
    return parse(model) or (says("water flows down the channel") if model.startswith("claude-") else None)


def _unmarked(block: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in block.items() if name != "cache_control"}


def count_words(blocks: list[dict[str, Any]]) -> int:
    """Count the words of blocks and tools."""
    words = 0
    for block in blocks:
        content = block.get("content")
        inner = content if isinstance(content, list) else [{"text": content or ""}]
        said = [block.get("text", ""), block.get("thinking", ""), block.get("description", "")]
        words += sum(len(str(part).split()) for part in (*said, *(one.get("text", "") for one in inner)))
    return words


def model_info(name: str) -> dict[str, Any]:
    """Return what the vendor says of a model."""
    adaptive = bool(ADAPTIVE_ONLY.search(name))

    def can(it: bool) -> dict[str, bool]:
        return {"supported": it}

    levels = {level: can(adaptive) for level in ("low", "medium", "high", "max")}
    types = {"adaptive": can(adaptive), "enabled": can(not adaptive), "disabled": can(not adaptive),
             "between_tools": can(False)}  # fmt: skip
    features = {one: can(True) for one in ("batch", "citations", "code_execution", "image_input", "pdf_input")}
    capabilities = {
        **features,
        "structured_outputs": can("4-5" in name or adaptive),
        "thinking": {"supported": True, "types": types},
        "effort": {"supported": adaptive, **levels, "xhigh": can(False)},
        "context_management": {"supported": True},
        "server_tools": {"supported": True},
    }
    dates = {"created_at": "2026-02-19T00:00:00Z", "deprecated_at": None, "retires_at": None}
    limits = {"max_input_tokens": 200_000, "max_tokens": 64_000}
    shown = {"id": name, "type": "model", "display_name": name.title(), "lifecycle": "active", "line": None}
    return {**shown, **dates, **limits, "capabilities": capabilities}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--key", default="")
    args = parser.parse_args()
    run(AnthropicServer(key=args.key), args.port)
