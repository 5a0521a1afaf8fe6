"""What a write of the relay carries, in the stream and on the channels: a fixed header and whole frames.

The header spares every reader from parsing frames that it only passes on. `origin` is the attempt with which the numbering
began: 1, unless Redis lost its memory while the worker was dead too; then an attempt starts the numbers anew, and readers
know from `origin` that theirs are void.
"""

import struct
from dataclasses import dataclass
from uuid import UUID

from schema.events import frame_seq, split_frames

HEADER = struct.Struct(">16sIIIIB")
ENDS = 1


@dataclass(frozen=True, slots=True)
class StreamBatch:
    """Frames `first` to `last` of one job, written by `attempt`; `ends` when the last event of the job is among them."""

    job: bytes
    attempt: int
    origin: int
    first: int
    last: int
    ends: bool
    body: bytes

    def after(self, seq: int) -> bytes:
        """Return the frames with numbers greater than `seq`."""
        if seq < self.first:
            return self.body
        return b"".join(frame for frame in split_frames(self.body) if frame_seq(frame) > seq)


def pack_batch(job_id: UUID, *, attempt: int, origin: int, first: int, last: int, ends: bool, body: bytes) -> bytes:
    """Return a payload as bytes."""
    return HEADER.pack(job_id.bytes, attempt, origin, first, last, ENDS if ends else 0) + body


def read_batch(data: bytes) -> StreamBatch:
    """Read a payload back."""
    job, attempt, origin, first, last, flags = HEADER.unpack_from(data)
    return StreamBatch(job, attempt, origin, first, last, bool(flags & ENDS), data[HEADER.size :])
