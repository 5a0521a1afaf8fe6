"""What a model's class streams, as pieces of an answer."""

from collections.abc import Mapping
from typing import Any, cast

import msgspec
from langchain_core.messages import AIMessageChunk

from graphs.providers.langchain.child.as_chunks import as_chunk
from graphs.providers.langchain.child.messages import FIELD
from graphs.providers.langchain.frames import CalledTool, Piece

Json = dict[str, Any]

REASONS = ("finish_reason", "stop_reason", "done_reason", "stopReason", "finishReason")
READ_ELSEWHERE = frozenset({"tool_calls", "function_call", "refusal", "parsed", "audio"})
"""Fields of a message that are parts of ours."""


class Chunks:
    """The chunks of one answer by the model `langchain/name`."""

    def __init__(self, id: int, name: str) -> None:
        self._id, self._name = id, name
        self._counts: dict[str, int] = {}
        self._kept: list[AIMessageChunk] = []
        self._has_calls = False

    def take(self, said: Any) -> Piece:
        """Return what a chunk says, or a message of a class that streams nothing. Raises TypeError for what is neither."""
        chunk = as_chunk(said)
        self._count(cast(Json | None, chunk.usage_metadata))
        if isinstance(chunk.content, list) or chunk.additional_kwargs:
            self._kept.append(chunk)
        self._has_calls = self._has_calls or bool(chunk.tool_call_chunks)
        metadata = chunk.response_metadata
        return Piece(
            self._id,
            text=str(chunk.text),
            thought=_thought(chunk),
            refusal=str(chunk.additional_kwargs.get("refusal") or ""),
            calls=[_call(cast(Json, one)) for one in chunk.tool_call_chunks],
            logprobs=_logprobs(metadata.get("logprobs")),
            reason=_reason(metadata),
            model=_text(metadata, "model_name", "model"),
            fingerprint=_text(metadata, "system_fingerprint"),
            counts=dict(self._counts) if chunk.usage_metadata else {},
        )

    def last(self, reason: str = "") -> Piece:
        """Return the end: the counts once more, and what must go back."""
        return Piece(self._id, reason=reason, is_last=True, counts=self._counts, extra=self._extra())

    def _count(self, usage: Json | None) -> None:
        if not usage:
            return
        read, written = usage.get("input_token_details") or {}, usage.get("output_token_details") or {}
        found = {
            "read": usage.get("input_tokens"),
            "written": usage.get("output_tokens"),
            "cached": read.get("cache_read"),
            "cache_write": _written(read),
            "cache_write_1h": read.get("ephemeral_1h_input_tokens"),
            "reasoning": written.get("reasoning"),
        }
        for name, count in found.items():
            if type(count) is int:
                self._counts[name] = self._counts.get(name, 0) + count

    def _extra(self) -> Json:
        """Return the message's blocks, where some are neither text nor calls, and its further fields, where they are JSON."""
        if not self._kept:
            return {}
        whole = self._kept[0] + self._kept[1:] if len(self._kept) > 1 else self._kept[0]
        content = whole.content if isinstance(whole.content, list) and _is_more(whole.content) else None
        dropped = READ_ELSEWHERE if self._has_calls else READ_ELSEWHERE | {"reasoning_content"}
        fields = {name: value for name, value in whole.additional_kwargs.items() if name not in dropped}
        kept = {"content": content, "additional_kwargs": fields}
        if not (content or fields):
            return {}
        try:
            return {FIELD: {"model": self._name, **msgspec.json.decode(msgspec.json.encode(kept))}}
        except (TypeError, ValueError):
            return {}


def _reason(said: Mapping[str, Any]) -> str:
    """Return why an answer ended; of one by OpenAI's Responses API, that is its status."""
    found = next((str(said[name]) for name in REASONS if said.get(name)), "")
    incomplete = said.get("incomplete_details")
    if isinstance(incomplete, dict):
        return str(cast(Json, incomplete).get("reason") or found)
    return found or ("completed" if said.get("status") == "completed" else "")


def _is_more(content: list[Any]) -> bool:
    plain = ("text", "tool_use", "tool_call", "input_json_delta")
    return any(isinstance(block, dict) and cast(Json, block).get("type") not in plain for block in content)


def _thought(chunk: AIMessageChunk) -> str:
    """Return what is thought; LangChain knows where its classes put that."""
    if not isinstance(chunk.content, list) and not chunk.additional_kwargs:
        return ""
    blocks = cast(list[Json], chunk.content_blocks)
    return "".join(str(block.get("reasoning") or "") for block in blocks if block.get("type") == "reasoning")


def _written(read: Mapping[str, Any]) -> Any:
    """Return what went into the cache; Anthropic's class says it by how long it stays."""
    parts = [read.get(f"ephemeral_{time}_input_tokens") for time in ("5m", "1h")]
    known = [part for part in parts if type(part) is int]
    return read.get("cache_creation") or (sum(known) if known else None)


def _call(said: Mapping[str, Any]) -> CalledTool:
    index = said.get("index")
    return CalledTool(
        index if type(index) is int else None,
        said.get("id") or "",
        said.get("name") or "",
        said.get("args") or "",
    )


def _logprobs(said: Any) -> list[Json]:
    found = said.get("content") if isinstance(said, dict) else None
    return [one for one in cast(list[Any], found) if isinstance(one, dict)] if isinstance(found, list) else []


def _text(said: Mapping[str, Any], *names: str) -> str:
    return next((value for name in names if isinstance(value := said.get(name), str)), "")
