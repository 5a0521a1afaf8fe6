"""The messages of a response: text, refusals and citations. One is open at a time; what comes between closes it."""

from typing import Any

from api.openai.responses.event_writer import EventWriter
from schema.events import CitationAdded


class MessageItems:
    """Writes the events of messages."""

    def __init__(self, writer: EventWriter) -> None:
        self._writer = writer
        self._index: int | None = None
        self._cited: list[dict[str, Any]] = []
        self._waiting: list[dict[str, Any]] = []

    @property
    def said(self) -> bool:
        """Whether there is a message."""
        return any(item["type"] == "message" for item in self._writer.items)

    def add_text(self, text: str) -> None:
        """Write more text, in a new message if none is open."""
        part = self._open_part("output_text")
        part["text"] += text
        self._writer.tell("response.output_text.delta", **self._place, delta=text, logprobs=[])
        waiting, self._waiting = self._waiting, []
        for annotation in waiting:
            self._annotate(annotation)

    def add_refusal(self, text: str) -> None:
        """Write more of a refusal."""
        part = self._open_part("refusal")
        part["refusal"] += text
        self._writer.tell("response.refusal.delta", **self._place, delta=text)

    def cite(self, citation: CitationAdded) -> None:
        """Annotate the text with a passage that it is based on, once; with the next text if there is none."""
        annotation = {"file_id": citation.document_id, "filename": citation.document, "index": citation.number or 0}
        self.annotate({"type": "file_citation", **annotation})

    def annotate(self, annotation: dict[str, Any]) -> None:
        """Annotate the text with a source, once; with the next text if there is none."""
        if annotation in self._cited:
            return
        self._cited.append(annotation)
        if self._index is not None and self._parts[-1]["type"] == "output_text":
            self._annotate(annotation)
        else:
            self._waiting.append(annotation)

    def settle(self) -> None:
        """Put annotations that no text has followed to the last text. One that is closed has them in the response alone."""
        waiting, self._waiting = self._waiting, []
        messages = (item for item in self._writer.items if item["type"] == "message")
        texts = [part for item in messages for part in item["content"] if part["type"] == "output_text"]
        if texts:
            texts[-1]["annotations"] += waiting

    def open_empty(self) -> None:
        """Begin a message that has no text."""
        self._open_part("output_text")

    def set_phase(self, phase: str) -> None:
        """Say of the last message what its model said of it: a commentary, or the final answer. One that a call has closed has
        it in the response alone."""
        for item in reversed(self._writer.items):
            if item["type"] == "message":
                item["phase"] = phase
                return

    def close(self, status: str = "completed") -> None:
        """Complete the open message, if there is one."""
        if self._index is None:
            return
        self._close_part()
        self._writer.items[self._index]["status"] = status
        self._writer.close_item(self._index)
        self._index = None

    @property
    def _parts(self) -> list[dict[str, Any]]:
        assert self._index is not None
        return self._writer.items[self._index]["content"]

    @property
    def _place(self) -> dict[str, Any]:
        assert self._index is not None
        return {**self._writer.place(self._index), "content_index": len(self._parts) - 1}

    def _open_part(self, kind: str) -> dict[str, Any]:
        """Return the open part if it is of this kind; otherwise begin one, and a message if none is open."""
        if self._index is None:
            self._index = self._writer.open_item("msg", "message", status="in_progress", role="assistant", content=[])
        elif self._parts[-1]["type"] == kind:
            return self._parts[-1]
        else:
            self._close_part()
        empty = {"text": "", "annotations": [], "logprobs": []} if kind == "output_text" else {"refusal": ""}
        self._parts.append({"type": kind, **empty})
        self._writer.tell("response.content_part.added", **self._place, part=self._parts[-1])
        return self._parts[-1]

    def _close_part(self) -> None:
        part = self._parts[-1]
        if part["type"] == "output_text":
            self._writer.tell("response.output_text.done", **self._place, text=part["text"], logprobs=[])
        else:
            self._writer.tell("response.refusal.done", **self._place, refusal=part["refusal"])
        self._writer.tell("response.content_part.done", **self._place, part=part)

    def _annotate(self, annotation: dict[str, Any]) -> None:
        annotations = self._parts[-1]["annotations"]
        annotations.append(annotation)
        self._writer.tell(
            "response.output_text.annotation.added",
            **self._place,
            annotation_index=len(annotations) - 1,
            annotation=annotation,
        )
