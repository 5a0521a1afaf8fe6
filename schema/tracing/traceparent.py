"""The W3C header `traceparent`: which span a request, or a job, belongs to.

    00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
    version  id of the trace             id of the span   flags: 01 is sampled

Who sends it is not trusted: what isn't exactly of this form counts as not sent. `tracestate` is not kept.
"""

import re

import msgspec

TRACEPARENT = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL
)
LONGEST = 512
SAMPLED = 1


class TraceContext(msgspec.Struct, frozen=True):
    """A span's place in a trace. Ids are lower-case hex, of 32 and 16 characters; `sampled`: it is recorded somewhere."""

    trace_id: str
    span_id: str
    sampled: bool = True

    @property
    def traceparent(self) -> str:
        """The header's value."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


def read_traceparent(text: str) -> TraceContext | None:
    """Return what a header's value says; None if it is malformed. Later versions may have more fields, which are ignored."""
    found = TRACEPARENT.fullmatch(text) if len(text) <= LONGEST else None
    if found is None or (found[1] == "00" and found[5]):
        return None
    return TraceContext(found[2], found[3], bool(int(found[4], 16) & SAMPLED))
