"""What Anthropic refuses of a request, as its API reference says: a counterpart that takes everything would prove nothing."""

import base64
import re
from hashlib import blake2b
from typing import Any

FIELDS = frozenset(
    {
        *("model", "messages", "max_tokens", "system", "stream", "tools", "tool_choice", "stop_sequences"),
        *("temperature", "top_p", "top_k", "thinking", "output_config", "metadata", "service_tier", "cache_control"),
        *("container", "inference_geo", "speed"),
    }
)
BETA_FIELDS = {"context_management": "context-management", "mcp_servers": "mcp-client"}
"""Fields that a value of `anthropic-beta` allows, by how it begins."""

SAMPLING = ("temperature", "top_p", "top_k")
NEWEST_VERSION = "2026-10-21"
VERSIONS = ("2023-06-01", NEWEST_VERSION)
NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
ADAPTIVE_ONLY = re.compile(r"sonnet-5|opus-5")
"""Models of these names think by themselves, take no budget and no temperature, and let system messages stand in the middle."""

MAX_MARKS = 4


class Refused(Exception):
    """The request is invalid; the message is the vendor's."""


def sign(thinking: str) -> str:
    """Return the signature of a thought."""
    return base64.b64encode(blake2b(b"signed" + thinking.encode(), digest_size=24).digest()).decode()


def check_request(body: Any, headers: dict[str, str]) -> None:
    """Raise Refused for a request that the vendor answers with 400."""
    version = headers.get("anthropic-version")
    if version not in VERSIONS:
        raise Refused("anthropic-version: header is required")
    for name in ("model", "max_tokens", "messages"):
        if body.get(name) is None:
            raise Refused(f"{name}: Field required")
    _check_fields(body, headers.get("anthropic-beta", ""))
    if version == NEWEST_VERSION or ADAPTIVE_ONLY.search(body["model"]):
        for name in SAMPLING:
            if name in body:
                raise Refused(f"{name}: Extra inputs are not permitted")
    _check_thinking(body)
    _check_tools(body)
    _check_messages(body)
    if _marks(body) > MAX_MARKS:
        raise Refused(f"A maximum of {MAX_MARKS} blocks with cache_control may be provided. Found {_marks(body)}.")


def _check_fields(body: dict[str, Any], beta: str) -> None:
    for name in body.keys() - FIELDS:
        if name not in BETA_FIELDS or BETA_FIELDS[name] not in beta:
            raise Refused(f"{name}: Extra inputs are not permitted")
    if not isinstance(body["max_tokens"], int) or body["max_tokens"] < 1:
        raise Refused("max_tokens: Input should be greater than or equal to 1")
    if unknown := (body.get("metadata") or {}).keys() - {"user_id"}:
        raise Refused(f"metadata.{sorted(unknown)[0]}: Extra inputs are not permitted")
    format_ = (body.get("output_config") or {}).get("format")
    if format_ is not None and format_["schema"].get("additionalProperties") is not False:
        raise Refused("output_config.format.schema: For 'object' type, 'additionalProperties' must be set to false")


def _check_thinking(body: dict[str, Any]) -> None:
    thinking = body.get("thinking") or {}
    adaptive_only = ADAPTIVE_ONLY.search(body["model"])
    match thinking.get("type"):
        case "enabled":
            budget = thinking.get("budget_tokens", 0)
            if adaptive_only:
                raise Refused("thinking.type: 'enabled' is not supported on this model. Use 'adaptive'.")
            if budget < 1024:
                raise Refused("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
            if budget >= body["max_tokens"]:
                raise Refused("`max_tokens` must be greater than `thinking.budget_tokens`.")
            if (body.get("tool_choice") or {}).get("type") in ("any", "tool"):
                raise Refused("Thinking may not be enabled when tool_choice forces tool use.")
            if body.get("temperature", 1) != 1:
                raise Refused("`temperature` may only be set to 1 when thinking is enabled.")
        case "adaptive" if not adaptive_only:
            raise Refused("adaptive thinking is not supported on this model")
    if (body.get("output_config") or {}).get("effort") is not None and not adaptive_only:
        raise Refused("This model does not support the effort parameter.")


def _check_tools(body: dict[str, Any]) -> None:
    tools = body.get("tools") or []
    for place, tool in enumerate(tools):
        if tool.get("type") not in (None, "custom"):
            continue  # a tool that runs at the vendor
        if not NAME.fullmatch(tool.get("name", "")):
            raise Refused(f"tools.{place}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
        if (tool.get("input_schema") or {}).get("type") != "object":
            raise Refused(f"tools.{place}.custom.input_schema.type: Field required")
    if body.get("tool_choice") and not tools:
        raise Refused("tool_choice: may only be specified while providing tools.")


def _check_messages(body: dict[str, Any]) -> None:
    messages = body["messages"]
    if not messages:
        raise Refused("messages: at least one message is required")
    open_calls: set[str] = set()
    for place, message in enumerate(messages):
        role, blocks = message.get("role"), blocks_of(message)
        if role == "system" and (place == 0 or not ADAPTIVE_ONLY.search(body["model"])):
            raise Refused(f"messages.{place}.role: role 'system' is not supported on this model")
        if role not in ("user", "assistant", "system"):
            raise Refused(f"messages.{place}.role: Input should be 'user' or 'assistant'")
        if not blocks:
            raise Refused(f"messages.{place}: all messages must have non-empty content")
        _check_blocks(place, blocks)
        open_calls = _check_calls(place, role, blocks, open_calls)
    if (body.get("thinking") or {}).get("type") == "enabled":
        _check_that_the_turn_began_with_a_thought(messages)
    if open_calls:
        raise Refused(f"`tool_use` ids were found without `tool_result` blocks: {', '.join(sorted(open_calls))}")


def _check_blocks(place: int, blocks: list[dict[str, Any]]) -> None:
    for number, block in enumerate(blocks):
        at = f"messages.{place}.content.{number}"
        match block.get("type"):
            case "text" if not block["text"].strip():
                raise Refused("messages: text content blocks must contain non-whitespace text")
            case "thinking" if block.get("signature") != sign(block.get("thinking", "")):
                raise Refused(f"{at}: Invalid `signature` in `thinking` block")
            case "tool_use" if not NAME.fullmatch(block["id"]) or not isinstance(block["input"], dict):
                raise Refused(f"{at}.tool_use: invalid id or input")
            case "image" if block["source"]["type"] not in ("base64", "url", "file"):
                raise Refused(f"{at}.image.source: invalid")
            case "text" | "thinking" | "redacted_thinking" | "tool_use" | "tool_result" | "image" | "document":
                pass
            case other:
                raise Refused(f"{at}: Input tag '{other}' does not match any of the expected tags")
        if extra := block.keys() - _BLOCK_FIELDS[block["type"]] - {"type", "cache_control"}:
            raise Refused(f"{at}.{block['type']}.{sorted(extra)[0]}: Extra inputs are not permitted")


_BLOCK_FIELDS: dict[str, set[str]] = {
    "text": {"text", "citations"},
    "thinking": {"thinking", "signature"},
    "redacted_thinking": {"data"},
    "tool_use": {"id", "name", "input", "caller"},
    "tool_result": {"tool_use_id", "content", "is_error"},
    "image": {"source"},
    "document": {"source", "title", "context", "citations"},
}


def _check_calls(place: int, role: str, blocks: list[dict[str, Any]], open_calls: set[str]) -> set[str]:
    """Check that results follow their calls at once, before anything else; return the calls that are open now."""
    results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
    if role == "user" and open_calls:
        first = [block["type"] for block in blocks[: len(results)]]
        if open_calls - set(results) or first != ["tool_result"] * len(results):
            raise Refused(f"messages.{place}: `tool_use` ids were found without `tool_result` blocks immediately after")
    if extra := set(results) - open_calls:
        raise Refused(f"messages.{place}: unexpected `tool_use_id` found in `tool_result` blocks: {min(extra)}")
    return {block["id"] for block in blocks if block["type"] == "tool_use"} if role == "assistant" else set()


def _check_that_the_turn_began_with_a_thought(messages: list[dict[str, Any]]) -> None:
    last = next((m for m in reversed(messages) if m["role"] == "assistant"), None)
    has_results = any(block["type"] == "tool_result" for block in blocks_of(messages[-1]))
    if last is not None and has_results and "thinking" not in blocks_of(last)[0]["type"]:
        found = blocks_of(last)[0]["type"]
        raise Refused(f"Expected `thinking` or `redacted_thinking`, but found `{found}`. When `thinking` is enabled, a final "
                      "`assistant` message must start with a thinking block.")  # fmt: skip


def blocks_of(message: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a message's content as blocks."""
    content = message.get("content")
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content or [])


def marked_blocks(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all blocks of the prompt in the vendor's order: tools, system prompt, messages."""
    system = body.get("system") or []
    system = [{"type": "text", "text": system}] if isinstance(system, str) else system
    return [*(body.get("tools") or []), *system, *(b for m in body["messages"] for b in blocks_of(m))]


def _marks(body: dict[str, Any]) -> int:
    return sum("cache_control" in block for block in marked_blocks(body)) + ("cache_control" in body)
