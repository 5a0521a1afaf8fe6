"""Secrets of a configured tool: which ones its headers use, validation, encryption and decryption. They are stored as one JSON
object, sealed for the tool's row, with exactly the names that headers use as `{{secret:NAME}}`.
"""

import json
import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from schema.errors import InputError, SecretsRequired
from schema.queries.agents.tools import ToolWithSecrets
from schema.vault import Vault
from tools.configured.definition import ToolDefinition
from tools.configured.endpoints import parse_endpoint
from tools.configured.headers import SECRET, SENSITIVE_NAME

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
VALUE = re.compile(r"[\x20-\x7e]{4,4096}")
"""Printable ASCII, as in headers. A shorter secret could not be masked in responses."""
MAX_HEADERS = 40


def needed_secrets(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the names of secrets that headers use, each with the field that uses it."""
    return {name: f"headers.{header}" for header, value in headers.items() for name in SECRET.findall(value)}


def resolve_secrets(
    definition: ToolDefinition, sent: Mapping[str, str | None], stored: Mapping[str, str]
) -> dict[str, str]:
    """Return the secrets that the tool's headers use, from `sent` or else from `stored`.

    Raises InputError for one that is missing or unused. Error messages quote no value.
    """
    needed = needed_secrets(definition.headers)
    for name, value in sent.items():
        _check_secret(name, value, needed)
    available = {name: value for name, value in {**stored, **sent}.items() if value is not None}
    for name, field in needed.items():
        if name not in available:
            raise InputError(
                f"{field} uses the secret {name}, which is not set. Send its value in secrets.", field=field
            )
    return {name: available[name] for name in needed}


def _check_secret(name: str, value: str | None, needed: Mapping[str, str]) -> None:
    if not NAME.fullmatch(name):  # not quoted, because people confuse names and values
        raise InputError(
            "secrets contains an invalid name. A name is a letter, then up to 63 letters, digits or _, such as ERP_KEY.",
            field="secrets",
        )
    field = f"secrets.{name}"
    if value is not None and not VALUE.fullmatch(value):
        raise InputError(f"{field} must be 4 to 4,096 printable ASCII characters.", field=field)
    if value is not None and name not in needed:
        raise InputError(
            f"{field} is not used by any header. Write {{{{secret:{name}}}}} into one, or remove the secret.",
            field=field,
        )


def check_headers_hold_no_secret(headers: Mapping[str, str]) -> None:
    """Raise InputError for a header that is named like a secret and has a plain value, which would be stored and shown."""
    if len(headers) > MAX_HEADERS:
        raise InputError(f"headers must have at most {MAX_HEADERS} entries.", field="headers")
    for name, value in headers.items():
        if SENSITIVE_NAME.search(name) and not SECRET.search(value):
            field = f"headers.{name}"
            raise InputError(
                f"{field} contains a secret in plain text. Write {{{{secret:NAME}}}} instead, and send its value in secrets.",
                field=field,
            )


def read_stored_secrets(
    vault: Vault, tool: ToolWithSecrets, definition: ToolDefinition, sent: Mapping[str, str | None]
) -> dict[str, str]:
    """Return a tool's stored secrets, which may be sent to the endpoint of `definition`.

    Raises SecretsRequired if that is another scheme, host or port than before and `sent` lacks one of those in use: else
    whoever may change a tool could read its secrets at a host of their own. Raises SecretUnreadable.
    """
    before, now = _origin(tool.definition.get("endpoint")), _origin(definition.endpoint)
    if before == now:
        return open_secrets(vault, tool)
    if lacking := sorted(name for name in needed_secrets(definition.headers) if sent.get(name) is None):
        raise SecretsRequired(
            f"endpoint now leads to {now or 'nowhere'}, so the stored secrets are not kept. Send {', '.join(lacking)} in "
            "secrets again.",
            field="secrets",
        )
    return {}


def _origin(endpoint: str | None) -> str | None:
    """Scheme, host and port, written one way: `https://a.example` is `https://A.example:443/x`."""
    if not endpoint:
        return None
    base = parse_endpoint(endpoint).base
    default = ":443" if base.startswith("https:") else ":80"
    return base.removesuffix(default).rstrip(".")


def seal_secrets(vault: Vault, secrets: Mapping[str, str], *, tenant_id: UUID, tool_id: UUID) -> dict[str, Any]:
    """Return the columns of a tool's secrets, sealed for its row."""
    if not secrets:
        return {"key_id": None, "sealed": None}
    sealed = vault.seal(json.dumps(secrets), tenant_id=tenant_id, owner_id=tool_id)
    return {"key_id": sealed.key_id, "sealed": sealed.sealed}


def open_secrets(vault: Vault, tool: ToolWithSecrets) -> dict[str, str]:
    """Return the secrets of a tool. Raises SecretUnreadable."""
    if tool.secrets is None:
        return {}
    return json.loads(vault.open(tool.secrets, tenant_id=tool.tenant_id, owner_id=tool.id))
