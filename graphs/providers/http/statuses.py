"""From what a vendor answered (HTTP status, headers, error body) to one of our errors."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from graphs.providers.errors import (
    ModelUnknown,
    ProviderElsewhere,
    ProviderInvalidResponse,
    ProviderOverloaded,
    ProviderQuotaExhausted,
    ProviderRateLimited,
    ProviderRefused,
    ProviderRejectedKey,
    ProviderTimeout,
    ToolsUnsupported,
    safe_excerpt,
)
from schema.errors import ProviderError

RETRY_AFTER_LIMIT_S = 3600.0
SPENT = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
NO_MODEL = frozenset({"model_not_found", "DeploymentNotFound"})
NO_TOOLS = (
    "does not support tools",  # Ollama, 400
    "endpoints found that support tool use",  # OpenRouter, 404
    "requires --enable-auto-tool-choice",  # vLLM, 400
    "tools param requires --jinja",  # llama.cpp, 500
)
BAD_KEY = "API_KEY_INVALID"  # Google's reason; the status is 400


def error_for_status(  # noqa: PLR0911 -- one return per kind of answer reads best
    provider: str, status: int, headers: Mapping[str, str], said: str, *, key: str = "", model: str = ""
) -> ProviderError:
    """The error for an answer that is not 200. `said` is its body, `key` is masked in what is quoted from it."""
    message, code = explain(said)
    quoted = safe_excerpt(message, key)
    retry_after_s = parse_retry_after(headers)
    if status in (401, 403) or (status == 400 and BAD_KEY in said):
        # A vendor may echo the key here in a form that no mask knows, so nothing is quoted.
        return ProviderRejectedKey(f"{provider} rejected the key ({status}): check it and what it may use.")
    if status == 429 and code not in SPENT:
        return ProviderRateLimited(f"{provider} is limiting our requests (429).", retry_after_s)
    if any(words in message for words in NO_TOOLS):
        return ToolsUnsupported(f"{model or 'The model'} of {provider} can't call tools natively.")
    if status == 408:
        return ProviderTimeout(f"{provider} gave up waiting (408).")
    if status == 409 or status >= 500:
        return ProviderOverloaded(f"{provider} failed on its side ({status}).", retry_after_s)
    if model and (code in NO_MODEL or (status == 404 and "model" in message.lower())):
        return ModelUnknown(f"{provider} has no model {model!r}: {quoted}")
    if status < 400:
        return ProviderInvalidResponse(f"{provider} answered {status} where 200 was due: check its base URL.")
    kind = (
        ProviderQuotaExhausted
        if status in (402, 429)
        else ProviderElsewhere
        if status in (404, 405, 410)
        else ProviderRefused
    )
    return kind(f"{provider} refused the request ({status}): {quoted or 'it gave no reason'}")


def error_in_stream(provider: str, error: Any, *, key: str = "") -> ProviderError:
    """The error for an error object that came in the middle of a 200 answer."""
    message, code = _message_and_code(error)
    status = int(code) if code.isdigit() else 0
    if status == 429 or "rate_limit" in code:
        return ProviderRateLimited(f"{provider} is limiting our requests: {safe_excerpt(message, key)}")
    if status in (401, 403):
        return ProviderRejectedKey(f"{provider} rejected the key ({status}): check it and what it may use.")
    if code in SPENT or status == 402:
        return ProviderQuotaExhausted(f"{provider} refused the request: {safe_excerpt(message, key)}")
    if 400 <= status < 500 or code.startswith(("invalid", "context_length", "content_")):
        return ProviderRefused(f"{provider} refused the request: {safe_excerpt(message, key)}")
    return ProviderOverloaded(f"{provider} failed in mid-answer: {safe_excerpt(message, key)}")


def explain(said: str) -> tuple[str, str]:
    """(message, code) of an error body: OpenAI's, Ollama's, FastAPI's or plain text; no HTML."""
    try:
        body = msgspec.json.decode(said)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ("", "") if said.lstrip().startswith("<") else (said, "")
    if isinstance(body, list) and len(body) == 1:  # Google's, for OpenAI's clients
        body = body[0]
    if not isinstance(body, dict):
        return str(body), ""
    return _message_and_code(body.get("error") or body.get("detail") or body)


def parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait from `retry-after-ms` (OpenAI, Azure) or `Retry-After` (seconds or a date), at most an hour."""
    try:
        if (ms := headers.get("retry-after-ms")) is not None:
            wait_s = float(ms) / 1000
        elif (value := headers.get("Retry-After")) is None:
            return None
        elif value.replace(".", "", 1).strip().isdigit():
            wait_s = float(value)
        else:
            when = parsedate_to_datetime(value)
            when = when if when.tzinfo else when.replace(tzinfo=UTC)
            wait_s = (when - datetime.now(UTC)).total_seconds()
    except ValueError:
        return None
    if math.isnan(wait_s):
        return None
    return min(max(wait_s, 0.0), RETRY_AFTER_LIMIT_S)


def _message_and_code(error: Any) -> tuple[str, str]:
    if not isinstance(error, dict):
        return (error if isinstance(error, str) else msgspec.json.encode(error).decode()), ""
    message = error.get("message")
    code = error.get("code") or error.get("type") or error.get("status") or ""
    return (message if isinstance(message, str) else msgspec.json.encode(error).decode()), str(code)
