"""Headers of a configured tool: literal text and `{{secret:NAME}}`, the caller's own token, and hiding both from whatever a
service sends back, since models and users read that.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from schema.errors import InputError
from tools.contract import ToolContext
from tools.errors import ToolRefused, ToolUnavailable

HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
HEADER_VALUE = re.compile(r"[\x20-\x7e]{0,4096}")
TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")
SECRET = re.compile(r"\{\{secret:([A-Za-z][A-Za-z0-9_]{0,63})\}\}")
SENSITIVE_NAME = re.compile(r"auth|key|token|secret|cookie|pass|signature", re.IGNORECASE)
"""Names of headers whose literal values are hidden as well."""

RESERVED_HEADERS = frozenset(
    {
        *(
            "host",
            "content-length",
            "content-type",
            "content-encoding",
            "transfer-encoding",
            "connection",
            "keep-alive",
        ),
        *("upgrade", "te", "trailer", "expect", "proxy-authorization", "proxy-authenticate", "proxy-connection"),
        *("accept-encoding", "idempotency-key", "http2-settings"),
    }
)
"""What the client and the kinds write themselves. A second one could make another request out of ours."""

REDACTED = "[hidden]"
MIN_HIDDEN_LENGTH = 4
"""Shorter texts are not looked for: they would be found everywhere."""


def check_headers(headers: Mapping[str, str], *, with_token: bool) -> None:
    """Raises InputError with a field such as `headers.X-Key`. `with_token`: the caller's token goes into Authorization."""
    seen: set[str] = set()
    for name, value in headers.items():
        lower, field = name.lower(), f"headers.{name[:64]}" if HEADER_NAME.fullmatch(name) else "headers"
        if not HEADER_NAME.fullmatch(name):
            raise InputError("headers has a name that HTTP does not take; right is, say, X-Api-Key.", field=field)
        if lower in RESERVED_HEADERS:
            raise InputError(f"{field} is set by headrace itself; take it out.", field=field)
        if lower in seen:
            raise InputError(f"{field} stands there twice.", field=field)
        if lower == "authorization" and with_token:
            raise InputError(
                f"{field} is taken by the caller's token; take it out, or set config.pass_caller_token to false.",
                field=field,
            )
        bare = SECRET.sub("", value)
        if not HEADER_VALUE.fullmatch(value) or value != value.strip():
            raise InputError(f"{field} holds an end of line or another character that headers can't.", field=field)
        if "{{" in bare or "}}" in bare:
            raise InputError(f"{field} has braces that are no secret; right is {{{{secret:NAME}}}}.", field=field)
        seen.add(lower)


def has_authorization(headers: Mapping[str, str]) -> bool:
    """Whether an admin wrote who calls, so that the caller's token stays here."""
    return any(name.lower() == "authorization" for name in headers)


def fill_headers(headers: Mapping[str, str], secrets: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return the headers of a call, and what in them is to be hidden. Raises ToolUnavailable, which names the secret that
    isn't set or can't stand in a header, never its value."""
    found: dict[str, str] = {}
    sensitive: list[str] = []
    for name, value in headers.items():
        used = SECRET.findall(value)
        for secret in used:
            if not HEADER_VALUE.fullmatch(secrets.get(secret, "")) or not secrets.get(secret):
                raise ToolUnavailable(f"The secret {secret} is not set, or can't stand in a header; an admin sets it.")
        found[name] = SECRET.sub(lambda match: secrets[match[1]], value)
        sensitive += [secrets[secret] for secret in used]
        if SENSITIVE_NAME.search(name):
            sensitive += [found[name], found[name].rpartition(" ")[2]]
    return found, sensitive


async def caller_authorization(context: ToolContext, *, wanted: bool, tool: str) -> str | None:
    """The caller's token, or None where the caller has none and the tool can go without. Raises ToolRefused where it was
    asked for in so many words."""
    token = await context.caller_token()
    if token and TOKEN.fullmatch(token):
        return token
    if token or wanted:
        raise ToolRefused(
            f"{tool} acts in the caller's own name, and there is no token of theirs; sign in, then ask again."
        )
    return None


def redact(value: Any, sensitive: Sequence[str]) -> Any:
    """The value with every text of `sensitive` covered, in names and values, at any depth."""
    texts = sorted({text for text in sensitive if len(text) >= MIN_HIDDEN_LENGTH}, key=len, reverse=True)
    return _redact(value, texts) if texts else value


def _redact(value: Any, texts: Sequence[str]) -> Any:
    if isinstance(value, str):
        for text in texts:
            value = value.replace(text, REDACTED)
        return value
    if isinstance(value, dict):
        return {_redact(name, texts): _redact(inner, texts) for name, inner in value.items()}
    return [_redact(inner, texts) for inner in value] if isinstance(value, list) else value
