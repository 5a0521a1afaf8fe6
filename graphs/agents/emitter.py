"""How a node tells what happens: at once to whoever follows the job, and into the state, so that another worker which goes on
with the run can tell it again. (A stream says `job.restarted`, and what came after the start is void and comes again.)"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from schema.events import EVENTS, Event, MessageDelta


class Emitter:
    """What one node tells, after what was `said` before. `trail` is what belongs into the state when it ends."""

    def __init__(self, emit: Callable[[Event], None], *, said: str = "") -> None:
        self._emit = emit
        self._apart = "\n\n" if said else ""
        self.trail: list[Any] = []

    def event(self, event: Event) -> None:
        """Tell an event."""
        self._emit(event)
        self.trail.append([event.type, msgspec.to_builtins(event)])

    def text(self, text: str) -> None:
        """Tell more of the answer. In the trail the words of a node are one event; apart from those before."""
        text, self._apart = self._apart + text, ""
        self._emit(MessageDelta(text=text))
        if self.trail and self.trail[-1][0] == MessageDelta.type:
            self.trail[-1][1]["text"] += text
        else:
            self.trail.append([MessageDelta.type, {"text": text}])


def replay_trail(trail: Sequence[Any], emit: Callable[[Event], None]) -> None:
    """Tell what earlier nodes told."""
    for name, fields in trail:
        emit(msgspec.convert(fields, EVENTS[name]))
