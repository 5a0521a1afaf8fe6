"""How a node reports what happens: at once to whoever follows the job, and in a trail that goes into the state.

Another worker that resumes the run replays the trail. (The stream then says `job.restarted`: what came after the start is
void and is sent again.)
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from schema.events import EVENTS, Event, MessageDelta


class Emitter:
    """Emits the events of one node. `already_sent` is the answer so far; `trail` belongs into the state when the node ends."""

    def __init__(self, emit: Callable[[Event], None], *, already_sent: str = "") -> None:
        self._emit = emit
        self._separator = "\n\n" if already_sent else ""
        self.trail: list[Any] = []

    def emit(self, event: Event) -> None:
        """Emit an event."""
        self._emit(event)
        self.trail.append([event.type, msgspec.to_builtins(event)])

    def emit_text(self, text: str, logprobs: list[dict[str, Any]] | None = None) -> None:
        """Emit more of the answer, separated from what earlier nodes wrote. In the trail, adjacent text is one event."""
        text, self._separator = self._separator + text, ""
        if logprobs is not None:
            self.emit(MessageDelta(text=text, logprobs=logprobs))
            return
        self._emit(MessageDelta(text=text))
        if self.trail and self.trail[-1][0] == MessageDelta.type and self.trail[-1][1].keys() == {"text"}:
            self.trail[-1][1]["text"] += text
        else:
            self.trail.append([MessageDelta.type, {"text": text}])

    def emit_refusal(self, text: str, logprobs: list[dict[str, Any]] | None = None) -> None:
        """Emit more of the words with which the model refuses."""
        self.emit(MessageDelta(refusal=text, logprobs=logprobs))


def replay_trail(trail: Sequence[Any], emit: Callable[[Event], None]) -> None:
    """Emit again what earlier nodes emitted."""
    for name, fields in trail:
        emit(msgspec.convert(fields, EVENTS[name]))
