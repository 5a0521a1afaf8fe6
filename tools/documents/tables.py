"""Turns rows into Markdown tables of limited size that each repeat the header, so that each is understood alone."""

from collections.abc import Iterable, Iterator, Sequence

from tools.documents.cleaning import clean_line

MAX_TABLE_ROWS = 40
MAX_TABLE_CHARACTERS = 8_000
MAX_HEADER_CELL = 200


def markdown_tables(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield Markdown tables of up to 40 rows or 8,000 characters. The first row is the header; each table repeats it.
    Short rows are padded; a row wider than the header widens its table. Skips empty rows. Lazy: holds one table at a time."""
    cleaned = (cells for row in rows if any(cells := [_clean_cell(text) for text in row]))
    header = next(cleaned, None)
    if header is None:
        return
    body: list[list[str]] = []
    size = count = 0
    for cells in cleaned:
        if body and (len(body) >= MAX_TABLE_ROWS or size > MAX_TABLE_CHARACTERS):
            yield _to_markdown(header, body)
            header, body, size = [cell[:MAX_HEADER_CELL] for cell in header], [], 0
        body.append(cells)
        size += sum(map(len, cells))
        count += 1
    if body or not count:
        yield _to_markdown(header, body)


def is_data_table(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the rows hold data: at least two columns and two rows that are not empty."""
    filled = [row for row in rows if any(text.strip() for text in row)]
    return len(filled) >= 2 and max(len([text for text in row if text.strip()]) for row in filled) >= 2


def _clean_cell(text: str) -> str:
    return clean_line(text).replace("|", "\\|")


def _to_markdown(header: list[str], rows: list[list[str]]) -> str:
    width = max(map(len, (header, *rows)))
    lines = [_table_line(header, width), "|" + " --- |" * width, *(_table_line(row, width) for row in rows)]
    return "\n".join(lines)


def _table_line(cells: list[str], width: int) -> str:
    return "| " + " | ".join([*cells, *[""] * (width - len(cells))]) + " |"
