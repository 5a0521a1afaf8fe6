"""What can go wrong between headrace and a vendor of models.

    schema.errors.ProviderError
    ├── may pass: another attempt is worth it (`retryable`)
    │   ├── ProviderUnreachable    provider_unreachable    no connection, or it dropped before an answer
    │   ├── ProviderTimeout        provider_timeout        connected, but no first token in time
    │   ├── ProviderStalled        provider_stalled        silent between two tokens
    │   ├── ProviderCut            provider_cut            the stream ended without its end mark
    │   ├── ProviderGarbage        provider_garbage        bytes that are not the protocol
    │   ├── ProviderRateLimited    provider_rate_limited   429; `retry_after_s` when the vendor named it
    │   ├── ProviderOverloaded     provider_overloaded     5xx, or an error in mid-stream
    │   └── ProviderResting        provider_resting        not called: it failed too often a moment ago
    └── can't pass: a person must change something
        ├── ProviderRejectedKey    provider_rejected_key   401, 403
        ├── ProviderRefused        provider_refused        the vendor won't take this request
        │   ├── ProviderSpent      provider_spent          the account at the vendor has no money left
        │   ├── ProviderElsewhere  provider_elsewhere      nothing of the protocol at this base URL
        │   └── ToolsUnsupported   provider_tools_unsupported  the model can't call tools natively
        ├── ProviderIsHeadrace     provider_is_headrace    the base URL points back at this server
        ├── ProviderAddressRefused provider_address_refused  the egress guard lets nothing out to a tenant's base URL
        ├── ModelUnknown           model_unknown           the vendor has no such model
        └── ProviderUnknown        provider_unknown        no such provider, or it is not configured

Messages name the provider and what happened. They never hold a key, a prompt or an answer; what a vendor says is
passed on through `safe_excerpt` only.
"""

import re
from typing import ClassVar

from schema.errors import ProviderError

EXCERPT_LENGTH = 300
PART_LENGTH = 8
_KEY_LIKE = re.compile(r"\b(?:sk|pk|hf|gsk|hr|xai|api|key)[-_][\w*.-]{6,}|\b(?:AIza|AQ\.)[\w*.-]{6,}|[Bb]earer\s+\S+")
_PIECE = re.compile(rf"[\w-]{{{PART_LENGTH},}}")


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
    """The stream ended without its end mark: what came so far is not an answer."""

    code: ClassVar[str] = "provider_cut"
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
    """The vendor was not called: it failed so often that it is left alone for `retry_after_s` (`fallback.py`)."""

    code: ClassVar[str] = "provider_resting"
    retryable = True

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ProviderRejectedKey(ProviderError):
    """The vendor does not accept the key, or not for this use."""

    code: ClassVar[str] = "provider_rejected_key"


class ProviderRefused(ProviderError):
    """The vendor will not take this request; the message carries its reason in short."""

    code: ClassVar[str] = "provider_refused"


class ProviderQuotaExhausted(ProviderRefused):
    """The account at the vendor has no money or quota left: another vendor's may have."""

    code: ClassVar[str] = "provider_spent"


class ProviderElsewhere(ProviderRefused):
    """The base URL answers, but has nothing of the protocol (404, 405, 410): it is a wrong one."""

    code: ClassVar[str] = "provider_elsewhere"


class ToolsUnsupported(ProviderRefused):
    """The model can't call tools natively; `TextualTools` gives it a written protocol instead."""

    code: ClassVar[str] = "provider_tools_unsupported"


class ProviderIsHeadrace(ProviderError):
    """The provider's base URL is this headrace's own address: a call would go round for ever."""

    code: ClassVar[str] = "provider_is_headrace"


class ProviderAddressRefused(ProviderError):
    """The base URL that a tenant gave is, or leads to, an address that may not be called."""

    code: ClassVar[str] = "provider_address_refused"


class ModelUnknown(ProviderError):
    """The provider is there, but has no model of this name."""

    code: ClassVar[str] = "model_unknown"


class ProviderUnknown(ProviderError):
    """No provider of this name is supported, or it is supported and not configured."""

    code: ClassVar[str] = "provider_unknown"


def safe_excerpt(said: str, key: str = "") -> str:
    """A vendor's own words, fit to be shown: one line, at most 300 characters, anything like a key masked, and any piece
    of `key` from 8 characters on."""
    if key:
        said = said.replace(key, "***")
        said = _PIECE.sub(lambda piece: "***" if piece[0] in key else piece[0], said)
    said = _KEY_LIKE.sub("***", " ".join(said.split()))
    return said if len(said) <= EXCERPT_LENGTH else said[: EXCERPT_LENGTH - 1] + "…"
