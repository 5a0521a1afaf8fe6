"""Headers of a configured tool: literal text and `{{secret:NAME}}`, a token, and redacting both from responses,
which models and users read.
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
"""Names of headers whose literal values are redacted as well."""

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
"""Headers that the client and the kinds set themselves. A duplicate could smuggle a different request."""

REDACTED = "[hidden]"
MIN_HIDDEN_LENGTH = 4
"""Shorter values are not redacted: they would match everywhere."""


def check_headers(headers: Mapping[str, str], *, with_token: bool) -> None:
    """Raises InputError with a field such as `headers.X-Key`. `with_token`: a token goes into Authorization."""
    seen: set[str] = set()
    for name, value in headers.items():
        lower, field = name.lower(), f"headers.{name[:64]}" if HEADER_NAME.fullmatch(name) else "headers"
        if not HEADER_NAME.fullmatch(name):
            raise InputError("headers contains an invalid name; it must be like X-Api-Key.", field=field)
        if lower in RESERVED_HEADERS:
            raise InputError(f"{field} is set by headrace itself; remove it.", field=field)
        if lower in seen:
            raise InputError(f"{field} is duplicated.", field=field)
        if lower == "authorization" and with_token:
            raise InputError(
                f"{field} is used for the token of the job; remove it, or set config.pass_caller_token to false.",
                field=field,
            )
        bare = SECRET.sub("", value)
        if not HEADER_VALUE.fullmatch(value) or value != value.strip():
            raise InputError(
                f"{field} contains a line break or another character that is not allowed in headers.", field=field
            )
        if "{{" in bare or "}}" in bare:
            raise InputError(f"{field} has braces outside a secret; write {{{{secret:NAME}}}}.", field=field)
        seen.add(lower)


def has_authorization(headers: Mapping[str, str]) -> bool:
    """Whether the row sets Authorization, so that no token is sent."""
    return any(name.lower() == "authorization" for name in headers)


def fill_headers(headers: Mapping[str, str], secrets: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return the headers of a call, and the texts in them to redact. Raises ToolUnavailable that names the secret, never its
    value, if it is not set or not valid in a header."""
    found: dict[str, str] = {}
    sensitive: list[str] = []
    for name, value in headers.items():
        used = SECRET.findall(value)
        for secret in used:
            if not HEADER_VALUE.fullmatch(secrets.get(secret, "")) or not secrets.get(secret):
                raise ToolUnavailable(
                    f"The secret {secret} is not set, or not valid in a header; an admin must set it."
                )
        found[name] = SECRET.sub(lambda match: secrets[match[1]], value)
        sensitive += [secrets[secret] for secret in used]
        if SENSITIVE_NAME.search(name):
            sensitive += [found[name], found[name].rpartition(" ")[2]]
    return found, sensitive


async def job_authorization(context: ToolContext, url: str, *, wanted: bool, tool: str) -> str | None:
    """The job's token for this URL, or None if the job works for nobody and the tool can do without. Raises ToolRefused if the
    row demands one."""
    token = await context.job_token(url)
    if token is None and wanted:
        raise ToolRefused(f"{tool} acts on behalf of a caller, and this job has none; send the message again.")
    return token


async def provider_authorization(context: ToolContext, *, tool: str) -> str:
    """The caller's own token of the identity provider. Raises ToolRefused if they came without one."""
    token = await context.provider_token()
    if not token or not TOKEN.fullmatch(token):
        raise ToolRefused(
            f"{tool} needs the caller's own token of the tenant's identity provider; call headrace with that token."
        )
    return token


def redact(value: Any, sensitive: Sequence[str]) -> Any:
    """The value with every text of `sensitive` redacted, in keys and values, at any depth."""
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
