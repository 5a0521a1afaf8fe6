"""Extracts text from images and scanned PDF pages with OCR (`tools/ocr/`)."""

import time
from itertools import pairwise
from statistics import median
from typing import Any

from tools.documents.blocks import Unreadable
from tools.errors import ToolBadArguments, ToolFailed, ToolTooLarge

MIN_SCORE = 0.5
PARAGRAPH_GAP = 0.9
"""A gap between two rows of more than this many row heights starts a new paragraph."""

COLUMN_SEPARATOR = "  "


class Scanner:
    """Reads pictures until there were `images` of them, or `seconds` of processor time are spent."""

    def __init__(self, images: int, seconds: float) -> None:
        self._images_left, self._cpu_deadline = images, time.process_time() + seconds

    def has_budget(self) -> bool:
        """Whether another picture will be read."""
        return self._images_left > 0 and time.process_time() < self._cpu_deadline

    def read(self, image: bytes) -> list[str]:
        """Return the paragraphs in a picture (PNG, JPEG, BMP …), from top to bottom; none where no text is found. Raises
        Unreadable: damaged, too_large."""
        from tools.ocr.recognition import run  # the models take a second to load, and most files don't need them

        self._images_left -= 1
        try:
            return group_paragraphs(run({}, image)["lines"])
        except ToolTooLarge as error:
            raise Unreadable("too_large", error.message) from error
        except ToolBadArguments as error:
            raise Unreadable("damaged", "The image is damaged; export it again and upload that.") from error
        except ToolFailed as error:
            raise Unreadable("damaged", error.message) from error


def group_paragraphs(lines: list[dict[str, Any]]) -> list[str]:
    """Put pieces of lines (`text`, `score`, `box` of left, top, right, bottom) together into rows, and paragraphs."""
    rows = _rows([line for line in lines if line["score"] >= MIN_SCORE])
    if not rows:
        return []
    height = median(_bottom(row) - _top(row) for row in rows)
    paragraphs = [[rows[0]]]
    for above, row in pairwise(rows):
        if _top(row) - _bottom(above) > PARAGRAPH_GAP * height:
            paragraphs.append([])
        paragraphs[-1].append(row)
    return ["\n".join(COLUMN_SEPARATOR.join(piece["text"] for piece in row) for row in rows) for rows in paragraphs]


def _rows(lines: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Pieces that stand side by side belong to one row: the middle of the one lies within the height of the other."""
    rows: list[list[dict[str, Any]]] = []
    for line in sorted(lines, key=lambda line: line["box"][1]):
        middle = (line["box"][1] + line["box"][3]) / 2
        if rows and _top(rows[-1]) <= middle <= _bottom(rows[-1]):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [sorted(row, key=lambda line: line["box"][0]) for row in rows]


def _top(row: list[dict[str, Any]]) -> int:
    return min(piece["box"][1] for piece in row)


def _bottom(row: list[dict[str, Any]]) -> int:
    return max(piece["box"][3] for piece in row)
