"""Seals what a vendor wants back with an answer, for clients that keep the conversation themselves (`/v1/responses`)."""

from collections.abc import Callable
from uuid import UUID

import msgspec

from schema.events import Event, MessageCompleted, ReasoningDelta
from schema.queries.jobs.attempts import ClaimedJob
from schema.sealed_reasoning import NOTHING, returned_reasoning, seal_reasoning
from schema.vault import Vault

SEALS = "seals_reasoning"
"""In the payload of a job whose client asks for it."""

Emit = Callable[[Event], None]


def sealing(vault: Vault, job: ClaimedJob, emit: Emit) -> Emit:
    """Return `emit`, or one that adds the blob to the complete answer of a job whose client asks for it."""
    if not job.payload.get(SEALS):
        return emit
    thoughts: list[str] = []

    def emit_sealed(event: Event) -> None:
        if isinstance(event, ReasoningDelta):
            thoughts.append(event.text)
        elif isinstance(event, MessageCompleted):
            event = _sealed(vault, job.tenant_id, job.model, event, "".join(thoughts))
        emit(event)

    return emit_sealed


def _sealed(vault: Vault, tenant_id: UUID, model: str, event: MessageCompleted, reasoning: str) -> MessageCompleted:
    returned = returned_reasoning(event, reasoning, model.partition("/")[0])
    if msgspec.structs.replace(returned, vendor="") == NOTHING:
        return event
    return msgspec.structs.replace(event, sealed_reasoning=seal_reasoning(vault, tenant_id, model, returned))
