"""Rows into Markdown tables, cut into pieces that each begin with the head, so that each can be understood alone."""

from collections.abc import Iterable, Iterator, Sequence

from tools.documents.cleaning import clean_line

PIECE_ROWS = 40
PIECE_CHARACTERS = 8_000
MAX_HEAD_CELL = 200


def table_pieces(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield Markdown tables of up to 40 rows or 8,000 characters. The first row is the head; it is repeated. Rows are filled
    up to the head's width; wider ones make the rest of their piece wider. Empty rows are left out. Lazy: holds one piece."""
    cleaned = (cells for row in rows if any(cells := [_cell(text) for text in row]))
    head = next(cleaned, None)
    if head is None:
        return
    piece: list[list[str]] = []
    size = count = 0
    for cells in cleaned:
        if piece and (len(piece) >= PIECE_ROWS or size > PIECE_CHARACTERS):
            yield _markdown(head, piece)
            head, piece, size = [cell[:MAX_HEAD_CELL] for cell in head], [], 0
        piece.append(cells)
        size += sum(map(len, cells))
        count += 1
    if piece or not count:
        yield _markdown(head, piece)


def has_cells(rows: Sequence[Sequence[str]]) -> bool:
    """Whether it is a table at all: two columns and two rows with something in them."""
    filled = [row for row in rows if any(text.strip() for text in row)]
    return len(filled) >= 2 and max(len([text for text in row if text.strip()]) for row in filled) >= 2


def _cell(text: str) -> str:
    return clean_line(text).replace("|", "\\|")


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    width = max(map(len, (head, *rows)))
    lines = [_line(head, width), "|" + " --- |" * width, *(_line(row, width) for row in rows)]
    return "\n".join(lines)


def _line(cells: list[str], width: int) -> str:
    return "| " + " | ".join([*cells, *[""] * (width - len(cells))]) + " |"
