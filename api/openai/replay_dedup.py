"""Deduplicates the text of a stream when a new attempt of the job generates the answer again.

Text that was sent can't be taken back. So the new attempt's text is dropped as long as it repeats what was sent, and passed on
after that. If it differs, the stream ends with an error.
"""

from typing import Any

from schema.events import JobRestarted, MessageCompleted, MessageDelta, ReasoningDelta


class ReplayMismatch(Exception):
    """The new attempt differs from what was sent."""


class ReplayDedup:
    """Turns the deltas of all attempts into text to send."""

    def __init__(self) -> None:
        self.sent = ""  # sent to the client
        self.refused = ""  # of the refusal
        self._refusal_position = 0
        self._position = 0  # how much of `sent` the current attempt has reached
        self._marks: list[tuple[int, int]] = []  # (event number, position after it)
        self._reasoning_sent = False
        self._tool_calls_sent = False
        self._choices_sent = False
        self._restarted = False

    def restart(self, event: JobRestarted) -> None:
        """Another attempt takes over; it repeats what came after event `discard_after`."""
        self._marks = [mark for mark in self._marks if mark[0] <= event.discard_after]
        self._position = self._marks[-1][1] if self._marks else 0
        self._refusal_position = 0
        self._restarted = True
        if self._tool_calls_sent or self._choices_sent:
            raise ReplayMismatch

    def text(self, seq: int, event: MessageDelta) -> str:
        """Return the part of a delta's text that wasn't sent yet. Raises ReplayMismatch."""
        new = self._advance(event.text)
        self._marks.append((seq, self._position))
        return new

    def refusal(self, event: MessageDelta) -> str:
        """Return the part of a refusal that wasn't sent yet; a later attempt repeats all of it. Raises ReplayMismatch."""
        repeated = self.refused[self._refusal_position : self._refusal_position + len(event.refusal)]
        if not event.refusal.startswith(repeated):
            raise ReplayMismatch
        self._refusal_position += len(event.refusal)
        self.refused += event.refusal[len(repeated) :]
        return event.refusal[len(repeated) :]

    def choice(self) -> None:
        """A part of another choice than the first is sent; a later attempt may differ, and nothing is compared."""
        self._choices_sent = True

    def tool_calls(self, event: MessageDelta) -> list[dict[str, Any]]:
        """Return the parts of tool calls to send."""
        self._tool_calls_sent = True
        return event.tool_calls or []

    @property
    def takes_reasoning(self) -> bool:
        """Whether reasoning that comes now is to be sent."""
        return not (self._reasoning_sent and self._restarted)

    def reasoning(self, event: ReasoningDelta) -> str:
        """Return the reasoning to send; that of a later attempt is dropped if some was sent."""
        if self._reasoning_sent and self._restarted:
            return ""
        self._reasoning_sent = True
        return event.text

    def remaining_text(self, event: MessageCompleted) -> str:
        """Return the end of the complete answer that wasn't sent yet. Raises ReplayMismatch if it is another answer."""
        if not event.text.startswith(self.sent):
            raise ReplayMismatch
        remaining_text = event.text[len(self.sent) :]
        self.sent, self._position = event.text, len(event.text)
        return remaining_text

    def _advance(self, text: str) -> str:
        repeated = self.sent[self._position : self._position + len(text)]
        if not text.startswith(repeated):
            raise ReplayMismatch
        self._position += len(text)
        new = text[len(repeated) :]
        self.sent += new
        return new
