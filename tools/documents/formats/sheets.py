"""XLSX, with openpyxl: a sheet is a page and its name the heading; its tables in pieces that repeat their head. Formulas are
read as the values that were stored with them, and never computed."""

import datetime
from collections.abc import Iterator
from typing import Any, BinaryIO

from openpyxl import load_workbook
from openpyxl.utils.exceptions import InvalidFileException

from tools.documents.block_collector import BlockCollector
from tools.documents.blocks import ReadBlocks
from tools.documents.cleaning import clean_line
from tools.documents.formats import ReadOptions
from tools.documents.formats.office import looked_through
from tools.documents.tables import PIECE_ROWS, table_pieces

MAX_CELLS = 5_000_000
"""Cells looked at in one file, empty ones too: a sheet can say that its only cell stands in the last corner."""

MAX_EMPTY_ROWS = 2_000_000


class _Left:
    """How many rows and cells may still be read."""

    def __init__(self, options: ReadOptions) -> None:
        self.rows, self.cells, self.empty = options.max_rows, MAX_CELLS, MAX_EMPTY_ROWS
        self.columns = options.max_columns


def read(file: BinaryIO, options: ReadOptions) -> ReadBlocks:
    """Raises Unreadable: damaged, encrypted, too_large, bomb, empty."""
    gathering, left = BlockCollector(options.max_characters), _Left(options)
    with looked_through(file, InvalidFileException, SyntaxError):
        book = load_workbook(file, read_only=True, data_only=True, keep_links=False)
        for number, sheet in enumerate(book.worksheets, 1):
            if sheet.sheet_state == "visible":
                _add_sheet(sheet, number, gathering, left)
            else:
                gathering.note(f"The sheet “{clean_line(sheet.title)}” is hidden and was left out.")
        return gathering.done(book.properties.title or "", len(book.worksheets))


def _add_sheet(sheet: Any, number: int, gathering: BlockCollector, left: _Left) -> None:
    sheet.reset_dimensions()  # what a sheet says of its size may be wrong
    before = len(gathering.blocks)
    gathering.add_heading(sheet.title, 1, number)
    headed = len(gathering.blocks)
    head: list[str] = []
    for region in _regions(_rows(sheet, gathering, left)):
        head = _add_region(region, head, number, gathering)
    if len(gathering.blocks) == headed:
        del gathering.blocks[before:]


def _rows(sheet: Any, gathering: BlockCollector, left: _Left) -> Iterator[list[str]]:
    """The rows as text, with empty ones, until enough is read."""
    for row in sheet.iter_rows():
        left.cells -= len(row)
        texts = [_shown(cell) for cell in row[: left.columns]]
        is_empty = not any(texts)
        left.rows -= not is_empty
        left.empty -= is_empty
        if min(left.rows, left.cells, left.empty) < 0:
            gathering.note(f"There are more rows than are read; those of “{clean_line(sheet.title)}” were cut off.")
            return
        if len(row) > left.columns and any(cell.value is not None for cell in row[left.columns :]):
            gathering.note(f"Only the first {left.columns} columns of “{clean_line(sheet.title)}” were read.")
        yield texts


def _regions(rows: Iterator[list[str]]) -> Iterator[Iterator[list[str]]]:
    """Runs of rows between empty ones; each must be read before the next is asked for."""
    for row in rows:
        if any(row):
            yield _until_empty(row, rows)


def _until_empty(first: list[str], rows: Iterator[list[str]]) -> Iterator[list[str]]:
    yield first
    for row in rows:
        if not any(row):
            return
        yield row


def _add_region(region: Iterator[list[str]], head: list[str], number: int, gathering: BlockCollector) -> list[str]:
    """Lines that stand alone above a table are text. A region whose first row is no head goes on with the one before: an
    empty row was left for the eye. Returns the head for the next."""
    first, lines = next(region), []
    while first and sum(map(bool, first)) == 1:
        lines.append("".join(first))
        first = next(region, [])
        if not first or len(lines) == PIECE_ROWS:
            gathering.add("text", "\n".join(lines), number)
            lines = []
    gathering.add("text", "\n".join(lines), number)
    if not first:
        return head
    if _is_head(first) or not head:
        head, rows = first, region
    else:
        rows = _with(first, region)
    for piece in table_pieces(_with(head, rows)):
        gathering.add("table", piece, number)
    return head


def _with(first: list[str], rows: Iterator[list[str]]) -> Iterator[list[str]]:
    yield first
    yield from rows


def _is_head(row: list[str]) -> bool:
    return not any(text[:1].isdigit() or text[:1] in "-+(" for text in row if text)


def _shown(cell: Any) -> str:
    """The value as a person would see it, nearly: the forms of dates and shares are kept, colours and currencies are not."""
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float):
        return f"{value * 100:.10g}%" if "%" in (cell.number_format or "") else f"{value:.15g}"
    if isinstance(value, datetime.datetime):
        is_day = value.time() == datetime.time()
        return value.date().isoformat() if is_day else value.isoformat(" ", "minutes")
    return clean_line(str(value))
