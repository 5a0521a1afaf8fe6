"""The wire format of event batches, in Redis streams and on channels: a fixed header, then whole frames.

With the header, readers needn't parse frames that they only pass on. `origin` is the attempt at which numbering started: 1,
unless Redis lost its data while the worker was dead too. Then a later attempt restarts the numbering, and a higher `origin`
tells readers that their position is no longer valid.
"""

import struct
from dataclasses import dataclass
from uuid import UUID

from schema.events import frame_seq, split_frames

HEADER = struct.Struct(">16sIIIIB")
ENDS = 1


@dataclass(frozen=True, slots=True)
class StreamBatch:
    """Frames `first` to `last` of one job, written by `attempt`. `ends`: the job's last event is among them."""

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
    """Return a batch as bytes."""
    return HEADER.pack(job_id.bytes, attempt, origin, first, last, ENDS if ends else 0) + body


def read_batch(data: bytes) -> StreamBatch:
    """Parse the bytes of a batch."""
    job, attempt, origin, first, last, flags = HEADER.unpack_from(data)
    return StreamBatch(job, attempt, origin, first, last, bool(flags & ENDS), data[HEADER.size :])
