"""What of an answer has been sent, when an attempt is followed by another that tells it again.

Words that a client has can't be taken back. So the new attempt's words are swallowed for as long as they repeat what was
sent, and then go on; when they differ, the stream has to end with an error.
"""

from typing import Any

from schema.events import JobRestarted, MessageCompleted, MessageDelta, ReasoningDelta


class ReplayMismatch(Exception):
    """The new attempt says something else than what was sent."""


class ReplayDedup:
    """Turns the deltas of all attempts into pieces that may be sent."""

    def __init__(self) -> None:
        self.said = ""  # sent to the client
        self._told = 0  # how much of it the present attempt has told
        self._marks: list[tuple[int, int]] = []  # (event number, characters told up to and with it)
        self._thought = False
        self._called = False
        self._restarted = False

    def restart(self, event: JobRestarted) -> None:
        """Another attempt takes over; it tells again what came after event `discard_after`."""
        self._marks = [mark for mark in self._marks if mark[0] <= event.discard_after]
        self._told = self._marks[-1][1] if self._marks else 0
        self._restarted = True
        if self._called:
            raise ReplayMismatch

    def text(self, seq: int, event: MessageDelta) -> str:
        """Return what of a delta's text is new to the client. Raises Differs."""
        new = self._tell(event.text)
        self._marks.append((seq, self._told))
        return new

    def tool_calls(self, event: MessageDelta) -> list[dict[str, Any]]:
        """Return the pieces of tool calls to send."""
        self._called = True
        return event.tool_calls or []

    def reasoning(self, event: ReasoningDelta) -> str:
        """Return the thoughts to send; those of a later attempt are left out once some were sent."""
        if self._thought and self._restarted:
            return ""
        self._thought = True
        return event.text

    def rest(self, event: MessageCompleted) -> str:
        """Return what the whole answer has beyond what was told. Raises Differs when it is another answer."""
        if not event.text.startswith(self.said):
            raise ReplayMismatch
        rest = event.text[len(self.said) :]
        self.said, self._told = event.text, len(event.text)
        return rest

    def _tell(self, text: str) -> str:
        known = self.said[self._told : self._told + len(text)]
        if not text.startswith(known):
            raise ReplayMismatch
        self._told += len(text)
        new = text[len(known) :]
        self.said += new
        return new
