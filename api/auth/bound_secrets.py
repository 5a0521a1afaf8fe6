"""Secrets that name the row they belong to: a prefix, then the tenant, the row and 32 secret bytes in base64. Only the SHA-256
is stored, and the row is found without a search over all tenants."""

import base64
import binascii
import hashlib
import secrets
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True)
class BoundSecret:
    """The parts of a secret; `digest` is what Postgres stores."""

    tenant_id: UUID
    row_id: UUID
    digest: str


def new_bound_secret(prefix: str, tenant_id: UUID, row_id: UUID, secret: bytes | None = None) -> str:
    """Return a secret in plain text, with these 32 secret bytes or random ones."""
    body = base64.urlsafe_b64encode(tenant_id.bytes + row_id.bytes + (secret or secrets.token_bytes(32)))
    return prefix + body.rstrip(b"=").decode()


def read_bound_secret(prefix: str, text: str) -> BoundSecret | None:
    """Return the parts of a secret; None if it isn't one of ours."""
    try:
        raw = base64.b64decode(text.removeprefix(prefix) + "==", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    if not text.startswith(prefix) or len(raw) != 64:
        return None
    return BoundSecret(UUID(bytes=raw[:16]), UUID(bytes=raw[16:32]), hashlib.sha256(raw).hexdigest())
