"""Reading a document as the child does: told by its bytes, then read by its reader."""

import io

import pytest

from tools.documents.blocks import ReadBlocks, Unreadable
from tools.documents.formats import ReadOptions, load_reader
from tools.documents.media_types import detect

Shape = tuple[str, int | None, str]


def read(name: str, data: bytes | str, **options: int | float) -> ReadBlocks:
    file = io.BytesIO(data.encode() if isinstance(data, str) else data)
    return load_reader(detect(file, name).name)(file, ReadOptions(**options))


def shapes(found: ReadBlocks) -> list[Shape]:
    """Of each block: its kind (a heading's with its level), its page and its text."""
    return [
        (f"h{block.level}" if block.kind == "heading" else block.kind, block.page, block.text) for block in found.blocks
    ]


def texts(found: ReadBlocks) -> list[str]:
    return [block.text for block in found.blocks]


def refusal(name: str, data: bytes | str, **options: int | float) -> str:
    """The code of the refusal."""
    with pytest.raises(Unreadable) as refused:
        read(name, data, **options)
    return refused.value.code
