"""Reasoning that travels through clients of the Responses API: what its vendor wants back, sealed, so that nobody else reads or
makes it.

A blob is good for its tenant and its model. Workers seal it, once, so that everybody who reads a job's events has the same.
"""

from typing import Any
from uuid import UUID, uuid5

import msgspec

from schema.errors import SecretUnreadable
from schema.events.answers import MessageCompleted
from schema.vault import Sealed, Vault

NAMESPACE = UUID("6f3c0a3e-0f0a-5a0e-9d43-6b1f6f2f1c55")


class ReturnedReasoning(msgspec.Struct, frozen=True, omit_defaults=True):
    """What goes back to `vendor` with an answer: reasoning, its own fields of the message, and those of calls by their ids."""

    vendor: str = ""
    reasoning: str = ""
    extra: dict[str, Any] = {}
    calls: dict[str, dict[str, Any]] = {}


NOTHING = ReturnedReasoning()

_decode = msgspec.json.Decoder(ReturnedReasoning).decode


def returned_reasoning(completed: MessageCompleted, reasoning: str, vendor: str) -> ReturnedReasoning:
    """Return what goes back to the vendor of an answer."""
    own = {
        call["id"]: {name: value for name, value in call.items() if name not in ("id", "type", "function")}
        for call in completed.tool_calls or ()
    }
    calls = {call_id: extra for call_id, extra in own.items() if extra}
    return ReturnedReasoning(completed.vendor or vendor, reasoning, completed.extra or {}, calls)


def seal_reasoning(vault: Vault, tenant_id: UUID, model: str, returned: ReturnedReasoning) -> str:
    """Return a blob for the client."""
    text = msgspec.json.encode(returned).decode()
    sealed = vault.seal(text, tenant_id=tenant_id, owner_id=uuid5(NAMESPACE, model))
    return f"{sealed.key_id}.{sealed.sealed.decode()}"


def open_reasoning(vault: Vault, tenant_id: UUID, model: str, blob: str) -> ReturnedReasoning:
    """Return what a blob holds; nothing for one that is damaged, forged, of another tenant or of another model."""
    key_id, _, sealed = blob.partition(".")
    try:
        owner_id = uuid5(NAMESPACE, model)
        return _decode(vault.open(Sealed(key_id, sealed.encode()), tenant_id=tenant_id, owner_id=owner_id))
    except (SecretUnreadable, msgspec.MsgspecError, UnicodeError):
        return NOTHING
