"""Translates a vendor's HTTP status, headers and error body into one of our errors."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

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
    SchemaUnsupported,
    ToolsUnsupported,
    safe_excerpt,
)
from graphs.providers.http.error_bodies import (
    code_and_param,
    code_and_param_of_body,
    message_and_code,
    parse_error_body,
)
from schema.errors import ProviderError

MAX_RETRY_AFTER_S = 3600.0
QUOTA_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
NO_CREDIT = "credit balance is too low"  # Anthropic, 400
MODEL_NOT_FOUND_CODES = frozenset({"model_not_found", "DeploymentNotFound"})
NO_TOOLS_PHRASES = (
    "does not support tools",  # Ollama, 400
    "endpoints found that support tool use",  # OpenRouter, 404
    "requires --enable-auto-tool-choice",  # vLLM, 400
    "tools param requires --jinja",  # llama.cpp, 500
)
NO_GRAMMAR_PHRASES = (
    "failed to parse grammar",  # llama.cpp, LM Studio, 400: a schema is more than its grammars can say
    "Failed to initialize samplers",  # llama.cpp, the same
    "Unable to generate parser for this template",  # llama.cpp, the same, or a chat template that knows no calls
    "JSON schema conversion failed",  # llama.cpp
    "invalid JSON schema in format",  # Ollama
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
    "longer than the context length",  # Ollama with `shift: false`, 400
    "exceeds the context length",  # Ollama with `truncate: false`, 400
    "exceeds the context window",  # LM Studio
    "greater than the context length",  # LM Studio: "the number of tokens to keep … is greater than the context length"
    "context size has been exceeded",  # llama.cpp in mid-answer, 500
    "context_length_exceeded",  # proxies that put the vendor's code into their sentence
    "longer than the model's context length",  # SGLang
    "larger than the maximum context size",  # KoboldCpp and others
    "input is too long",  # Bedrock
)
"""What vendors say when a conversation is too long for a model."""

BAD_KEY_CODES = frozenset({"invalid_api_key", "authentication_error", "permission_error", "unauthorized"})
REFUSING_CODES = ("invalid", "content_", "badrequest", "bad_request", "unprocessable", "not_found", "notfound")
"""How the codes begin of errors that the same request would meet again."""

CODE_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{2,63}|\d{1,6}")
BAD_KEY_REASON = "API_KEY_INVALID"  # Google's reason; the status is 400


PARAM = re.compile(r"[\w.\[\]-]{1,100}", re.ASCII)


def error_for_status(
    provider: str, status: int, headers: Mapping[str, str], body: str, *, key: str = "", model: str = ""
) -> ProviderError:
    """Return the error for a response that is not 200. `key` is masked in what is quoted from the body."""
    error = _error_for_status(provider, status, headers, body, key=key, model=model)
    return _in_the_vendors_words(error, *code_and_param_of_body(body), key)


def error_in_stream(provider: str, error: Any, *, key: str = "", model: str = "") -> ProviderError:
    """Return the error for an error object in a 200 response: its whole body, or in the middle of an answer."""
    found = _error_in_stream(provider, error, key=key, model=model)
    return _in_the_vendors_words(found, *code_and_param(error), key)


def _in_the_vendors_words(error: ProviderError, code: str, param: str, key: str) -> ProviderError:
    """Add the vendor's own code and parameter, where they are words. Of a rejected key nothing is repeated."""
    if not isinstance(error, ProviderRejectedKey):
        code, param = safe_excerpt(code, key), safe_excerpt(param, key)
        error.vendor_code = code if CODE_WORD.fullmatch(code) and not code.isdecimal() else None
        error.vendor_param = param if PARAM.fullmatch(param) else None
    return error


def _error_for_status(  # noqa: PLR0911 -- one return per kind of answer reads best
    provider: str, status: int, headers: Mapping[str, str], body: str, *, key: str, model: str
) -> ProviderError:
    message, code = parse_error_body(body)
    excerpt = safe_excerpt(message, key)
    said, named = _said(excerpt), _named(status, safe_excerpt(code, key))
    retry_after_s = parse_retry_after(headers) or retry_delay_in(body)
    if status in (401, 403, 498) or (status == 400 and BAD_KEY_REASON in body):
        # A vendor may echo the key here in a form that the mask misses, so nothing is quoted.
        return ProviderRejectedKey(f"{provider} rejected the key ({status}). Check the key and its permissions.")
    if status == 429 and code not in QUOTA_CODES:
        return ProviderRateLimited(f"{provider} is rate-limiting our requests ({named}){said}", retry_after_s)
    if any(words in message for words in NO_TOOLS_PHRASES):
        return ToolsUnsupported(f"{model or 'The model'} of {provider} can't call tools natively{said}")
    if any(words in message for words in NO_GRAMMAR_PHRASES):
        return SchemaUnsupported(f"{provider} can't take a JSON Schema of the request{said}")
    if status == 408:
        return ProviderTimeout(f"{provider} timed out ({named}){said}")
    if status >= 500 and is_too_long(message, code):  # some proxies and servers have no better status for it
        return ContextTooLong(f"{provider} refused the request ({named}){said}")
    if status == 409 or status >= 500:
        return ProviderOverloaded(f"{provider} failed with a server error ({named}){said}", retry_after_s)
    if model and (code in MODEL_NOT_FOUND_CODES or (status == 404 and "model" in message.lower())):
        return ModelUnknown(f"{provider} has no model {model!r}: {excerpt}")
    if status < 400:
        return ProviderInvalidResponse(f"{provider} answered with status {status} instead of 200; check its base URL.")
    error_class = (
        ProviderQuotaExhausted
        if status in (402, 429) or NO_CREDIT in message
        else ContextTooLong
        if status in (400, 413, 422) and is_too_long(message, code)
        else ProviderWrongBaseUrl
        if status in (404, 405, 410)
        else ProviderRefused
    )
    return error_class(f"{provider} refused the request ({named}): {excerpt or 'it gave no reason'}")


def _error_in_stream(provider: str, error: Any, *, key: str, model: str) -> ProviderError:  # noqa: PLR0911
    message, code = message_and_code(error)
    status = int(code) if code.isdecimal() and len(code) == 3 else 0
    excerpt = safe_excerpt(message, key)
    shown = _named(0, safe_excerpt(code, key))
    said = f"{f' ({shown})' if shown else ''}{_said(excerpt)}"
    refused = f"{provider} refused the request{said}"
    if status in (401, 403) or code in BAD_KEY_CODES:
        return ProviderRejectedKey(f"{provider} rejected the key ({shown}). Check the key and its permissions.")
    if code in QUOTA_CODES or status == 402:
        return ProviderQuotaExhausted(refused)
    if status == 429 or "rate_limit" in code:
        return ProviderRateLimited(f"{provider} is rate-limiting our requests{said}")
    if any(words in message for words in NO_TOOLS_PHRASES):
        return ToolsUnsupported(f"{model or 'The model'} of {provider} can't call tools natively{_said(excerpt)}")
    if any(words in message for words in NO_GRAMMAR_PHRASES):
        return SchemaUnsupported(f"{provider} can't take a JSON Schema of the request{_said(excerpt)}")
    if is_too_long(message, code):
        return ContextTooLong(refused)
    if model and code in MODEL_NOT_FOUND_CODES:
        return ModelUnknown(f"{provider} has no model {model!r}: {excerpt}")
    if (400 <= status < 500 and status not in (408, 409)) or code.lower().startswith(REFUSING_CODES):
        return ProviderRefused(refused)
    return ProviderOverloaded(f"{provider} failed in mid-answer{said}")


def is_too_long(message: str, code: str) -> bool:
    """Whether a vendor says that the conversation exceeds the model's window."""
    said = message.lower()
    return code in TOO_LONG_CODES or any(phrase in said for phrase in TOO_LONG_PHRASES)


def _named(status: int, code: str) -> str:
    """Return the status and the vendor's code, where that is a word and no text."""
    shown = code if CODE_WORD.fullmatch(code) and code != str(status) else ""
    return ", ".join(part for part in (str(status) if status else "", shown) if part)


def _said(excerpt: str) -> str:
    return f": {excerpt}" if excerpt else "."


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


def retry_delay_in(body: str) -> float | None:
    """Return the seconds to wait that Google names in a body, as `details: [{"retryDelay": "17s"}]`, at most an hour."""
    found = _RETRY_DELAY.search(body)
    return min(float(found[1]), MAX_RETRY_AFTER_S) if found else None


_RETRY_DELAY = re.compile(r'"retryDelay":\s*"(\d{1,6}(?:\.\d{1,9})?)s"')
