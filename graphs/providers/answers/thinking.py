"""Sets a model's thinking apart where its server leaves it in the text: `<think>…</think>` at the start of an answer.

Servers that know the model's template send it in a field of its own, others don't. Only the start of an answer is looked at,
since an answer may be about such marks. What came out doesn't depend on how the text was split into chunks.
"""

MARKS = {
    "<think>": "</think>",  # DeepSeek R1, Qwen 3 and most others
    "[THINK]": "[/THINK]",  # Magistral
    "<seed:think>": "</seed:think>",  # Seed-OSS
    "◁think▷": "◁/think▷",  # Kimi
    "<|begin_of_thought|>": "<|end_of_thought|>",  # Sky-T1, OpenThinker
}
_AT_START = (*MARKS, *MARKS.values())  # a closing mark alone is left over from thinking that the server cut off


class ThinkingSplitter:
    """The state of one answer: chunks of text in, (thought, text) out."""

    def __init__(self) -> None:
        self.is_over = False
        """Whether the answer has begun, so that nothing can be thinking any more."""
        self._buffer = ""
        self._closing = ""  # while the model thinks
        self._has_thought = self._trims = False

    def feed(self, text: str) -> tuple[str, str]:
        """Return what is certain after this chunk: thought, then text."""
        if self.is_over:
            return "", text
        self._buffer += text
        return self._read(final=False)

    def finish(self) -> tuple[str, str]:
        """Return what was held back."""
        return ("", "") if self.is_over else self._read(final=True)

    def _read(self, *, final: bool) -> tuple[str, str]:
        if not self._closing and not self._open(final):
            return "", self._take_all() if self.is_over else ""
        thought = self._think(final)
        if self._closing:
            return thought, ""
        return thought, self._answer()

    def _open(self, final: bool) -> bool:
        """Whether the answer begins with thinking, or with what is left of it; not so while that is open."""
        said = self._buffer.lstrip()
        mark = next((mark for mark in _AT_START if said.startswith(mark)), None)
        if mark is not None:
            self._buffer, self._closing, self._trims = said[len(mark) :], MARKS.get(mark, ""), True
            return True
        if self._trims:
            return True
        self.is_over = final or not any(mark.startswith(said) for mark in _AT_START)
        return False

    def _think(self, final: bool) -> str:
        if not self._closing:
            return ""
        before, found, after = self._buffer.partition(self._closing)
        if found or final:
            self._buffer, self._closing = after, ""
        else:
            held = next((n for n in range(len(self._closing), 0, -1) if before.endswith(self._closing[:n])), 0)
            before, self._buffer = before[: len(before) - held], before[len(before) - held :]
        return self._thought(before)

    def _thought(self, text: str) -> str:
        shown = text if self._has_thought else text.lstrip()
        self._has_thought = self._has_thought or bool(shown)
        return shown

    def _answer(self) -> str:
        """Return the answer after the thinking, without the empty lines between them."""
        self._buffer = self._buffer.lstrip()
        self.is_over = bool(self._buffer)
        return self._take_all()

    def _take_all(self) -> str:
        text, self._buffer = self._buffer, ""
        return text
