"""What can go wrong between headrace and a model vendor.

    schema.errors.ProviderError
    ├── transient: a retry may succeed (`retryable`)
    │   ├── ProviderUnreachable      provider_unreachable      no connection, or dropped before the answer began
    │   ├── ProviderTimeout          provider_timeout          connected, but no first token in time
    │   ├── ProviderStalled          provider_stalled          silent between two tokens
    │   ├── ProviderStreamCut        provider_cut              the stream ended without its end mark
    │   ├── ProviderSaidNothing      provider_said_nothing     the answer ended without words and calls
    │   ├── ProviderInvalidResponse  provider_garbage          bytes that are not the protocol
    │   ├── ProviderRateLimited      provider_rate_limited     429; `retry_after_s` if the vendor named it
    │   ├── ProviderOverloaded       provider_overloaded       5xx, or an error in the middle of a stream
    │   └── ProviderCircuitOpen      provider_resting          not called: it failed too often a moment ago
    └── permanent: a person must change something
        ├── ProviderRejectedKey      provider_rejected_key     401, 403
        ├── ProviderRefused          provider_refused          the vendor refused this request
        │   ├── ContextTooLong          context_length_exceeded  the conversation doesn't fit into the model's window
        │   ├── ProviderQuotaExhausted  provider_spent         the account at the vendor has no credit left
        │   ├── ProviderWrongBaseUrl    provider_elsewhere     the protocol is not served at this base URL
        │   └── ToolsUnsupported     provider_tools_unsupported  the model can't call tools natively
        │       └── SchemaUnsupported                        its server can't make grammars of the request's schemas
        ├── ProviderIsHeadrace       provider_is_headrace      the base URL points back at this server
        ├── ProviderAddressRefused   provider_address_refused  the egress guard blocks a tenant's base URL
        ├── ModelUnknown             model_unknown             the vendor has no such model
        └── ProviderUnknown          provider_unknown          no such provider, or it is not configured

Messages name the provider and what happened. They never contain a key, a prompt or an answer; a vendor's own text is passed
on only through `safe_excerpt`.
"""

import re
from typing import ClassVar

from schema.errors import ProviderError

MAX_EXCERPT_CHARS = 300
MIN_KEY_FRAGMENT = 8
_KEY_LIKE = re.compile(r"\b(?:sk|pk|hf|gsk|hr|xai|api|key)[-_][\w*.-]{6,}|\b(?:AIza|AQ\.)[\w*.-]{6,}|[Bb]earer\s+\S+")
_FRAGMENT = re.compile(rf"[\w-]{{{MIN_KEY_FRAGMENT},}}")


class ProviderUnreachable(ProviderError):
    """No connection to the vendor, or it was dropped before the answer began."""

    code: ClassVar[str] = "provider_unreachable"
    retryable = True


class ProviderTimeout(ProviderError):
    """The vendor took the request but sent no token within `first_token_s`."""

    code: ClassVar[str] = "provider_timeout"
    retryable = True


class ProviderStalled(ProviderError):
    """The stream began and then fell silent for longer than `between_tokens_s`."""

    code: ClassVar[str] = "provider_stalled"
    retryable = True


class ProviderStreamCut(ProviderError):
    """The stream ended without its end mark, or with a word that is no end: what came so far is not an answer."""

    code: ClassVar[str] = "provider_cut"
    retryable = True


class ProviderSaidNothing(ProviderError):
    """The answer ended as a good one does, but with neither words nor calls."""

    code: ClassVar[str] = "provider_said_nothing"
    retryable = True


class ProviderInvalidResponse(ProviderError):
    """The vendor sent something that is not its protocol."""

    code: ClassVar[str] = "provider_garbage"
    retryable = True


class ProviderRateLimited(ProviderError):
    """429: too many requests; `retry_after_s` is what the vendor asked for, if it did."""

    code: ClassVar[str] = "provider_rate_limited"
    retryable = True

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ProviderOverloaded(ProviderError):
    """The vendor failed on its own side (5xx, or an error object in mid-stream)."""

    code: ClassVar[str] = "provider_overloaded"
    retryable = True

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ProviderCircuitOpen(ProviderError):
    """The vendor was not called: after too many failures its breaker is open for `retry_after_s` (`breakers.py`)."""

    code: ClassVar[str] = "provider_resting"
    retryable = True

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ProviderRejectedKey(ProviderError):
    """The vendor does not accept the key, or not for this use."""

    code: ClassVar[str] = "provider_rejected_key"


class ProviderRefused(ProviderError):
    """The vendor refused this request; the message has a short reason."""

    code: ClassVar[str] = "provider_refused"


class ContextTooLong(ProviderRefused):
    """The conversation is longer than the model reads. Clients know the code, which is OpenAI's, and shorten it."""

    code: ClassVar[str] = "context_length_exceeded"


class ProviderQuotaExhausted(ProviderRefused):
    """The account at the vendor has no credit or quota left."""

    code: ClassVar[str] = "provider_spent"


class ProviderWrongBaseUrl(ProviderRefused):
    """The base URL is wrong: a server answers, but not with the protocol (404, 405, 410)."""

    code: ClassVar[str] = "provider_elsewhere"


class ToolsUnsupported(ProviderRefused):
    """The model can't call tools natively; `PromptedTools` gives it a protocol in the prompt instead."""

    code: ClassVar[str] = "provider_tools_unsupported"


class SchemaUnsupported(ToolsUnsupported):
    """The server turns schemas into grammars, and can't do so with these (`grammar_schemas.py`)."""


class ProviderIsHeadrace(ProviderError):
    """The provider's base URL is headrace's own address: a call would loop forever."""

    code: ClassVar[str] = "provider_is_headrace"


class ProviderAddressRefused(ProviderError):
    """A tenant's base URL is, or resolves to, an address that may not be called."""

    code: ClassVar[str] = "provider_address_refused"


class ModelUnknown(ProviderError):
    """The provider has no model of this name."""

    code: ClassVar[str] = "model_unknown"


class ProviderUnknown(ProviderError):
    """The provider is not supported, or not configured."""

    code: ClassVar[str] = "provider_unknown"


def safe_excerpt(text: str, key: str = "") -> str:
    """Return a vendor's text, safe to show: one line of at most 300 characters, with `key`, its fragments of 8 characters or
    more, and anything that looks like a key masked."""
    if key:
        text = text.replace(key, "***")
        text = _FRAGMENT.sub(lambda fragment: "***" if fragment[0] in key else fragment[0], text)
    text = _KEY_LIKE.sub("***", " ".join(text.replace("\0", "").split()))  # Postgres can't store U+0000
    return text if len(text) <= MAX_EXCERPT_CHARS else text[: MAX_EXCERPT_CHARS - 1] + "…"
