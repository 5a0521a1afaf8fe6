"""CSV and its kin: the delimiter is found by trying, the first row is the head unless it holds figures."""

import csv
import io
import re
from collections.abc import Iterator
from itertools import chain, islice
from typing import BinaryIO

from tools.documents.block_collector import BlockCollector
from tools.documents.blocks import ReadBlocks, Unreadable
from tools.documents.formats import ReadOptions
from tools.documents.formats.plain_text import text_of
from tools.documents.tables import table_pieces

DELIMITERS = (",", ";", "\t", "|")
MAX_FIELD = 2**31 - 1  # the sum of all is limited elsewhere
SAMPLE_ROWS = 50
SAMPLE = 64 * 1024
SAID = re.compile(r"^sep=(.)\r?\n", re.IGNORECASE)
FIGURE = re.compile(r"^[-+]?[\d.,\s]*\d[\d.,\s]*%?$")


def read(file: BinaryIO, options: ReadOptions) -> ReadBlocks:
    """Raises Unreadable: damaged, empty, too_large."""
    gathering = BlockCollector(options.max_characters)
    text = text_of(file, options, gathering).lstrip("\ufeff").replace("\0", "")
    delimiter = ""
    if said := SAID.match(text):
        delimiter, text = said[1], text[said.end() :]
    csv.field_size_limit(MAX_FIELD)
    try:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter or _delimiter(text))
        for piece in table_pieces(_headed(_limited(rows, options, gathering))):
            gathering.add("table", piece)
    except csv.Error as error:
        raise Unreadable("damaged", "The file is no CSV that can be read; export it again and upload that.") from error
    return gathering.done()


def _delimiter(text: str) -> str:
    """The one that cuts the most of the first rows into equally many cells."""
    sample = text[:SAMPLE]
    if len(text) > SAMPLE:
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


def _limited(rows: Iterator[list[str]], options: ReadOptions, gathering: BlockCollector) -> Iterator[list[str]]:
    for count, row in enumerate(rows):
        if count > options.max_rows:
            gathering.note(f"Only the first {options.max_rows:,} rows were read.")
            return
        if len(row) > options.max_columns:
            gathering.note(f"Only the first {options.max_columns} columns were read.")
        yield row[: options.max_columns]


def _headed(rows: Iterator[list[str]]) -> Iterator[list[str]]:
    first = next((row for row in rows if any(text.strip() for text in row)), None)
    if first is None:
        return
    if any(FIGURE.match(text.strip()) for text in first):
        yield [f"Column {number}" for number in range(1, len(first) + 1)]
    yield from chain([first], rows)
