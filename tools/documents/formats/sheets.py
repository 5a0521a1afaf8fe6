"""XLSX, with openpyxl: a sheet is a page with its name as heading, then its tables. Formulas are read as their stored values
and never computed."""

import datetime
from collections.abc import Iterator
from typing import Any, BinaryIO

from openpyxl import load_workbook
from openpyxl.utils.exceptions import InvalidFileException

from tools.documents.block_collector import BlockCollector
from tools.documents.blocks import ReadBlocks
from tools.documents.cleaning import clean_line
from tools.documents.formats import ReadOptions
from tools.documents.formats.office import open_checked
from tools.documents.tables import MAX_TABLE_ROWS, markdown_tables

MAX_CELLS = 5_000_000
"""Cells examined per file, empty ones included: a sheet can claim that its only cell is in the last corner."""

MAX_EMPTY_ROWS = 2_000_000


class _Budget:
    """The rows and cells that may still be read."""

    def __init__(self, options: ReadOptions) -> None:
        self.rows, self.cells, self.empty = options.max_rows, MAX_CELLS, MAX_EMPTY_ROWS
        self.columns = options.max_columns


def read(file: BinaryIO, options: ReadOptions) -> ReadBlocks:
    """Raises Unreadable: damaged, encrypted, too_large, bomb, empty."""
    collector, budget = BlockCollector(options.max_characters), _Budget(options)
    with open_checked(file, InvalidFileException, SyntaxError):
        book = load_workbook(file, read_only=True, data_only=True, keep_links=False)
        for number, sheet in enumerate(book.worksheets, 1):
            if sheet.sheet_state == "visible":
                _add_sheet(sheet, number, collector, budget)
            else:
                collector.note(f"The sheet “{clean_line(sheet.title)}” is hidden and was left out.")
        return collector.finish(book.properties.title or "", len(book.worksheets))


def _add_sheet(sheet: Any, number: int, collector: BlockCollector, budget: _Budget) -> None:
    sheet.reset_dimensions()  # the declared dimensions may be wrong
    before = len(collector.blocks)
    collector.add_heading(sheet.title, 1, number)
    headed = len(collector.blocks)
    header: list[str] = []
    for region in _regions(_rows(sheet, collector, budget)):
        header = _add_region(region, header, number, collector)
    if len(collector.blocks) == headed:
        del collector.blocks[before:]


def _rows(sheet: Any, collector: BlockCollector, budget: _Budget) -> Iterator[list[str]]:
    """Yield rows as text, empty ones included, until the budget is used up."""
    for row in sheet.iter_rows():
        budget.cells -= len(row)
        texts = [_format_cell(cell) for cell in row[: budget.columns]]
        is_empty = not any(texts)
        budget.rows -= not is_empty
        budget.empty -= is_empty
        if min(budget.rows, budget.cells, budget.empty) < 0:
            collector.note(f"The file has too many rows; those of “{clean_line(sheet.title)}” were cut off.")
            return
        if len(row) > budget.columns and any(cell.value is not None for cell in row[budget.columns :]):
            collector.note(f"Only the first {budget.columns} columns of “{clean_line(sheet.title)}” were read.")
        yield texts


def _regions(rows: Iterator[list[str]]) -> Iterator[Iterator[list[str]]]:
    """Yield runs of non-empty rows; each must be consumed before the next is requested."""
    for row in rows:
        if any(row):
            yield _until_empty(row, rows)


def _until_empty(first: list[str], rows: Iterator[list[str]]) -> Iterator[list[str]]:
    yield first
    for row in rows:
        if not any(row):
            return
        yield row


def _add_region(region: Iterator[list[str]], header: list[str], number: int, collector: BlockCollector) -> list[str]:
    """Add a table, and single cells above it as text. A region without a header row continues the previous one: the empty row
    between them is only visual. Returns the header for the next region."""
    first, lines = next(region), []
    while first and sum(map(bool, first)) == 1:
        lines.append("".join(first))
        first = next(region, [])
        if not first or len(lines) == MAX_TABLE_ROWS:
            collector.add("text", "\n".join(lines), number)
            lines = []
    collector.add("text", "\n".join(lines), number)
    if not first:
        return header
    if _is_header(first) or not header:
        header, rows = first, region
    else:
        rows = _prepend(first, region)
    for piece in markdown_tables(_prepend(header, rows)):
        collector.add("table", piece, number)
    return header


def _prepend(first: list[str], rows: Iterator[list[str]]) -> Iterator[list[str]]:
    yield first
    yield from rows


def _is_header(row: list[str]) -> bool:
    return not any(text[:1].isdigit() or text[:1] in "-+(" for text in row if text)


def _format_cell(cell: Any) -> str:
    """The value roughly as displayed: dates and percentages keep their format, currencies don't."""
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
