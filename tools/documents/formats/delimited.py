"""CSV and similar formats: the delimiter is guessed, and the first row is the header unless it contains numbers."""

import csv
import io
import re
from collections.abc import Iterator
from itertools import chain, islice
from typing import BinaryIO

from tools.documents.block_collector import BlockCollector
from tools.documents.blocks import ReadBlocks, Unreadable
from tools.documents.formats import ReadOptions
from tools.documents.formats.plain_text import read_text
from tools.documents.tables import markdown_tables

DELIMITERS = (",", ";", "\t", "|")
MAX_FIELD_BYTES = 2**31 - 1  # the total is limited elsewhere
SAMPLE_ROWS = 50
SAMPLE_CHARACTERS = 64 * 1024
SEPARATOR_LINE = re.compile(r"^sep=(.)\r?\n", re.IGNORECASE)
NUMBER = re.compile(r"^[-+]?[\d.,\s]*\d[\d.,\s]*%?$")


def read(file: BinaryIO, options: ReadOptions) -> ReadBlocks:
    """Raises Unreadable: damaged, empty, too_large."""
    collector = BlockCollector(options.max_characters)
    text = read_text(file, options, collector).lstrip("\ufeff").replace("\0", "")
    delimiter = ""
    if declared := SEPARATOR_LINE.match(text):
        delimiter, text = declared[1], text[declared.end() :]
    csv.field_size_limit(MAX_FIELD_BYTES)
    try:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter or _guess_delimiter(text))
        for piece in markdown_tables(_with_header(_limited(rows, options, collector))):
            collector.add("table", piece)
    except csv.Error as error:
        raise Unreadable("damaged", "The file can't be read as CSV; export it again and upload that.") from error
    return collector.finish()


def _guess_delimiter(text: str) -> str:
    """The delimiter that splits the most sample rows into the same number of cells."""
    sample = text[:SAMPLE_CHARACTERS]
    if len(text) > SAMPLE_CHARACTERS:
        sample = sample[: sample.rfind("\n") + 1] or sample

    def consistency(delimiter: str) -> tuple[float, int]:
        widths = [
            len(row)
            for row in islice(csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter), SAMPLE_ROWS)
            if row
        ]
        usual = max(set(widths), key=widths.count, default=1)
        return (widths.count(usual) / max(len(widths), 1) if usual > 1 else 0.0, usual)

    return max(DELIMITERS, key=consistency)


def _limited(rows: Iterator[list[str]], options: ReadOptions, collector: BlockCollector) -> Iterator[list[str]]:
    for count, row in enumerate(rows):
        if count > options.max_rows:
            collector.note(f"Only the first {options.max_rows:,} rows were read.")
            return
        if len(row) > options.max_columns:
            collector.note(f"Only the first {options.max_columns} columns were read.")
        yield row[: options.max_columns]


def _with_header(rows: Iterator[list[str]]) -> Iterator[list[str]]:
    first = next((row for row in rows if any(text.strip() for text in row)), None)
    if first is None:
        return
    if any(NUMBER.match(text.strip()) for text in first):
        yield [f"Column {number}" for number in range(1, len(first) + 1)]
    yield from chain([first], rows)
