"""Translates a vendor's HTTP status, headers and error body into one of our errors."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from graphs.providers.errors import (
    ContextTooLong,
    ModelUnknown,
    ProviderInvalidResponse,
    ProviderOverloaded,
    ProviderQuotaExhausted,
    ProviderRateLimited,
    ProviderRefused,
    ProviderRejectedKey,
    ProviderTimeout,
    ProviderWrongBaseUrl,
    ToolsUnsupported,
    safe_excerpt,
)
from schema.errors import ProviderError

MAX_RETRY_AFTER_S = 3600.0
QUOTA_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
MODEL_NOT_FOUND_CODES = frozenset({"model_not_found", "DeploymentNotFound"})
NO_TOOLS_PHRASES = (
    "does not support tools",  # Ollama, 400
    "endpoints found that support tool use",  # OpenRouter, 404
    "requires --enable-auto-tool-choice",  # vLLM, 400
    "tools param requires --jinja",  # llama.cpp, 500
)
TOO_LONG_CODES = frozenset({"context_length_exceeded", "exceed_context_size_error"})
TOO_LONG_PHRASES = (
    "maximum context length",  # OpenAI, vLLM, 400
    "exceeds the available context size",  # llama.cpp, 400
    "prompt is too long",  # Anthropic, 400
    "input token count",  # Google: "The input token count (…) exceeds the maximum number of tokens allowed"
    "too many tokens",  # Cohere, 400
    "exceeds the model's maximum",  # Groq, Together
    "maximum model length",  # vLLM, 400
)
"""What vendors say when a conversation is too long for a model."""

BAD_KEY_REASON = "API_KEY_INVALID"  # Google's reason; the status is 400


def error_for_status(  # noqa: PLR0911 -- one return per kind of answer reads best
    provider: str, status: int, headers: Mapping[str, str], body: str, *, key: str = "", model: str = ""
) -> ProviderError:
    """Return the error for a response that is not 200. `key` is masked in what is quoted from the body."""
    message, code = parse_error_body(body)
    excerpt = safe_excerpt(message, key)
    retry_after_s = parse_retry_after(headers)
    if status in (401, 403) or (status == 400 and BAD_KEY_REASON in body):
        # A vendor may echo the key here in a form that the mask misses, so nothing is quoted.
        return ProviderRejectedKey(f"{provider} rejected the key ({status}). Check the key and its permissions.")
    if status == 429 and code not in QUOTA_CODES:
        return ProviderRateLimited(f"{provider} is rate-limiting our requests (429).", retry_after_s)
    if any(words in message for words in NO_TOOLS_PHRASES):
        return ToolsUnsupported(f"{model or 'The model'} of {provider} can't call tools natively.")
    if status == 408:
        return ProviderTimeout(f"{provider} timed out (408).")
    if status == 409 or status >= 500:
        return ProviderOverloaded(f"{provider} failed with a server error ({status}).", retry_after_s)
    if model and (code in MODEL_NOT_FOUND_CODES or (status == 404 and "model" in message.lower())):
        return ModelUnknown(f"{provider} has no model {model!r}: {excerpt}")
    if status < 400:
        return ProviderInvalidResponse(f"{provider} answered with status {status} instead of 200; check its base URL.")
    error_class = (
        ProviderQuotaExhausted
        if status in (402, 429)
        else ContextTooLong
        if status in (400, 413, 422) and is_too_long(message, code)
        else ProviderWrongBaseUrl
        if status in (404, 405, 410)
        else ProviderRefused
    )
    return error_class(f"{provider} refused the request ({status}): {excerpt or 'it gave no reason'}")


def error_in_stream(provider: str, error: Any, *, key: str = "") -> ProviderError:
    """Return the error for an error object in the middle of a 200 response."""
    message, code = _message_and_code(error)
    status = int(code) if code.isdecimal() and len(code) == 3 else 0
    if status == 429 or "rate_limit" in code:
        return ProviderRateLimited(f"{provider} is rate-limiting our requests: {safe_excerpt(message, key)}")
    if status in (401, 403):
        return ProviderRejectedKey(f"{provider} rejected the key ({status}). Check the key and its permissions.")
    if code in QUOTA_CODES or status == 402:
        return ProviderQuotaExhausted(f"{provider} refused the request: {safe_excerpt(message, key)}")
    if is_too_long(message, code):
        return ContextTooLong(f"{provider} refused the request: {safe_excerpt(message, key)}")
    if 400 <= status < 500 or code.startswith(("invalid", "content_")):
        return ProviderRefused(f"{provider} refused the request: {safe_excerpt(message, key)}")
    return ProviderOverloaded(f"{provider} failed in mid-answer: {safe_excerpt(message, key)}")


def is_too_long(message: str, code: str) -> bool:
    """Whether a vendor says that the conversation exceeds the model's window."""
    said = message.lower()
    return code in TOO_LONG_CODES or any(phrase in said for phrase in TOO_LONG_PHRASES)


def parse_error_body(text: str) -> tuple[str, str]:
    """Return (message, code) of an error body in OpenAI's, Ollama's or FastAPI's format or plain text; HTML gives nothing."""
    try:
        text = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ("", "") if text.lstrip().startswith("<") else (text, "")
    if isinstance(text, list) and len(text) == 1:  # Google's, for OpenAI's clients
        text = text[0]
    if not isinstance(text, dict):
        return str(text), ""
    return _message_and_code(text.get("error") or text.get("detail") or text)


def parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds to wait by `retry-after-ms` (OpenAI, Azure) or `Retry-After` (seconds or a date), at most an hour."""
    try:
        if (ms := headers.get("retry-after-ms")) is not None:
            wait_s = float(ms) / 1000
        elif (value := headers.get("Retry-After")) is None:
            return None
        elif value.replace(".", "", 1).strip().isdigit():
            wait_s = float(value)
        else:
            retry_at = parsedate_to_datetime(value)
            retry_at = retry_at if retry_at.tzinfo else retry_at.replace(tzinfo=UTC)
            wait_s = (retry_at - datetime.now(UTC)).total_seconds()
    except ValueError:
        return None
    if math.isnan(wait_s):
        return None
    return min(max(wait_s, 0.0), MAX_RETRY_AFTER_S)


def _message_and_code(error: Any) -> tuple[str, str]:
    if not isinstance(error, dict):
        return (error if isinstance(error, str) else msgspec.json.encode(error).decode()), ""
    message = error.get("message")
    code = error.get("code") or error.get("type") or error.get("status") or ""
    return (message if isinstance(message, str) else msgspec.json.encode(error).decode()), str(code)
