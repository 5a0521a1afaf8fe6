"""Collects the blocks that a reader finds: cleans them, counts them, and raises once there are too many."""

from tools.documents.blocks import Block, BlockKind, ReadBlocks, Unreadable
from tools.documents.cleaning import clean, clean_code, clean_line

MAX_BLOCKS = 300_000
MAX_HEADING = 300
MAX_TITLE = 300
MAX_HEADING_LEVEL = 6


class BlockCollector:
    """The blocks of one document, in order. Raises Unreadable `too_large` once they exceed `max_characters`."""

    def __init__(self, max_characters: int) -> None:
        self.blocks: list[Block] = []
        self.notes: list[str] = []
        self.characters = 0
        self._max = max_characters

    def add(self, kind: BlockKind, text: str, page: int | None = None) -> None:
        """Add a text, list, table or code; nothing when it is empty."""
        cleaned = clean_code(text) if kind in ("code", "table", "list") else clean(text)
        if cleaned.strip():
            self._append(Block(kind, cleaned, page))

    def add_heading(self, text: str, level: int, page: int | None = None) -> None:
        """Add a heading; one as long as a paragraph becomes text."""
        line = clean_line(text)
        if len(line) > MAX_HEADING:
            self._append(Block("text", line, page))
        elif line:
            self._append(Block("heading", line, page, min(max(level, 1), MAX_HEADING_LEVEL)))

    def note(self, sentence: str) -> None:
        """Note for the uploader what was left out; repeated notes are kept once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def finish(self, title: str = "", pages: int | None = None) -> ReadBlocks:
        """Return the collected blocks. Raises Unreadable `empty` if there are none."""
        if not self.blocks:
            raise Unreadable("empty", "The file contains no text.")
        return ReadBlocks(self.blocks, clean_line(title)[:MAX_TITLE], pages, self.notes)

    def _append(self, block: Block) -> None:
        self.characters += len(block.text)
        if self.characters > self._max or len(self.blocks) >= MAX_BLOCKS:
            raise Unreadable("too_large", f"The file contains more than {self._max:,} characters of text; split it up.")
        self.blocks.append(block)
