"""What goes over the control channel to the workers."""

from uuid import UUID

import msgspec

from schema.states import CancelMode


class CancelCommand(msgspec.Struct, frozen=True):
    """Stop this attempt of this job; every other worker ignores it."""

    job_id: UUID
    attempt: int
    mode: CancelMode
