"""Where a reader puts what it finds: cleaned, counted, and refused when it becomes too much."""

from tools.documents.blocks import Block, BlockKind, ReadBlocks, Unreadable
from tools.documents.cleaning import clean, clean_code, clean_line

MAX_BLOCKS = 300_000
MAX_HEADING = 300
MAX_TITLE = 300
DEEPEST = 6


class BlockCollector:
    """The blocks of one document, in order. Raises Unreadable too_large once there are more than `max_characters`."""

    def __init__(self, max_characters: int) -> None:
        self.blocks: list[Block] = []
        self.notes: list[str] = []
        self.characters = 0
        self._max = max_characters

    def add(self, kind: BlockKind, text: str, page: int | None = None) -> None:
        """Add a text, list, table or code; nothing when it is empty."""
        cleaned = clean_code(text) if kind in ("code", "table", "list") else clean(text)
        if cleaned.strip():
            self._keep(Block(kind, cleaned, page))

    def add_heading(self, text: str, level: int, page: int | None = None) -> None:
        """Add a heading; a whole paragraph in a heading's clothes becomes text."""
        line = clean_line(text)
        if len(line) > MAX_HEADING:
            self._keep(Block("text", line, page))
        elif line:
            self._keep(Block("heading", line, page, min(max(level, 1), DEEPEST)))

    def note(self, sentence: str) -> None:
        """Tell the person who uploaded the file what was left out; each sentence once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def done(self, title: str = "", pages: int | None = None) -> ReadBlocks:
        """Return what was read. Raises Unreadable empty when there is nothing."""
        if not self.blocks:
            raise Unreadable("empty", "There is no text in the file.")
        return ReadBlocks(self.blocks, clean_line(title)[:MAX_TITLE], pages, self.notes)

    def _keep(self, block: Block) -> None:
        self.characters += len(block.text)
        if self.characters > self._max or len(self.blocks) >= MAX_BLOCKS:
            raise Unreadable("too_large", f"The file holds more than {self._max:,} characters of text; split it up.")
        self.blocks.append(block)
