"""Commands to workers over the control channel."""

from uuid import UUID

import msgspec

from schema.states import CancelMode


class CancelCommand(msgspec.Struct, frozen=True):
    """Stop this attempt at this job. Workers that don't run it ignore the command."""

    job_id: UUID
    attempt: int
    mode: CancelMode
