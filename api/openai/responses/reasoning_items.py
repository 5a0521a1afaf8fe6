"""The reasoning of a response, told as summaries: those are what clients show."""

from typing import Any

from api.openai.responses.event_writer import EventWriter


class ReasoningItems:
    """Writes the events of reasoning. One item is open at a time; what comes after it closes it."""

    def __init__(self, writer: EventWriter) -> None:
        self._writer = writer
        self._index: int | None = None
        self._is_told = False

    def add(self, text: str) -> None:
        """Write more reasoning."""
        if self._is_told:
            self.close()
        if self._index is None:
            self._index = self._writer.open_item("rs", "reasoning", summary=[])
            self._part()["text"] = ""
            self._writer.tell("response.reasoning_summary_part.added", **self._place(), part=self._part())
        self._part()["text"] += text
        self._writer.tell("response.reasoning_summary_text.delta", **self._place(), delta=text)

    def close(self, sealed: str | None = None) -> None:
        """Complete the open reasoning, if there is some; `sealed` is what the client may send back."""
        if self._index is None:
            return
        self.tell_text()
        if sealed is not None:
            self._writer.items[self._index]["encrypted_content"] = sealed
        self._writer.close_item(self._index)
        self._index, self._is_told = None, False

    def tell_text(self) -> None:
        """Tell that the text of the open reasoning is complete. The item is not, as long as its blob may come."""
        if self._index is None or self._is_told:
            return
        self._is_told, part = True, self._part()
        self._writer.tell("response.reasoning_summary_text.done", **self._place(), text=part["text"])
        self._writer.tell("response.reasoning_summary_part.done", **self._place(), part=part)

    def _place(self) -> dict[str, Any]:
        assert self._index is not None
        return {**self._writer.place(self._index), "summary_index": 0}

    def _part(self) -> dict[str, Any]:
        assert self._index is not None
        summary = self._writer.items[self._index]["summary"]
        if not summary:
            summary.append({"type": "summary_text", "text": ""})
        return summary[0]
