"""Reasoning that travels through clients: sealed here, so that nobody else reads or makes it.

A blob is good for its tenant and its model. One that can't be opened is left out, as reasoning without a blob is.
"""

from typing import Any
from uuid import UUID, uuid5

import msgspec

from schema.errors import SecretUnreadable
from schema.vault import Sealed, Vault

NAMESPACE = UUID("6f3c0a3e-0f0a-5a0e-9d43-6b1f6f2f1c55")


def open_reasoning(vault: Vault, tenant_id: UUID, model: str, blob: str) -> dict[str, Any]:
    """Return the fields that go back to the model with the assistant's message; none for a blob that isn't its own."""
    key_id, _, sealed = blob.partition(".")
    try:
        secret = vault.open(Sealed(key_id, sealed.encode()), tenant_id=tenant_id, owner_id=uuid5(NAMESPACE, model))
        return msgspec.json.decode(secret, type=dict[str, Any])
    except (SecretUnreadable, msgspec.DecodeError):
        return {}


def seal_reasoning(vault: Vault, tenant_id: UUID, model: str, fields: dict[str, Any]) -> str:
    """Return a blob of what the vendor wants back."""
    sealed = vault.seal(msgspec.json.encode(fields).decode(), tenant_id=tenant_id, owner_id=uuid5(NAMESPACE, model))
    return f"{sealed.key_id}.{sealed.sealed.decode()}"
