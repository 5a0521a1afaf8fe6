"""What DOCX, PPTX and XLSX have in common: a zip of XML, which is looked through before a library may open it."""

import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO
from xml.etree.ElementTree import ParseError

from lxml import etree  # pyright: ignore[reportAttributeAccessIssue] - compiled, without a stub

from tools.documents.blocks import Unreadable
from tools.documents.zips import check_zip

BROKEN = (
    *(
        KeyError,
        ValueError,
        AttributeError,
        TypeError,
        IndexError,
        LookupError,
        AssertionError,
        NotImplementedError,
        OSError,
    ),
    *(zipfile.BadZipFile, zlib.error, etree.Error, ParseError),
)
"""What the libraries raise for files that are not as they should be: nearly anything."""

XML = (".xml", ".rels", ".vml")
DOCTYPE = re.compile(b"<!(DOCTYPE|ENTITY)|<\0!\0(D\0O\0C\0T|E\0N\0T\0I)|\0<\0!\0(D\0O\0C\0T|E\0N\0T\0I)")
"""Also in UTF-16. Office files have no such thing; it is there to expand entities or to fetch something."""


@contextmanager
def looked_through(file: BinaryIO, *own: type[Exception]) -> Iterator[None]:
    """Look through the file; what a library then raises for it (`own` are its own errors) becomes Unreadable damaged. Raises
    Unreadable: damaged, encrypted, too_large, bomb."""
    check_zip(file, look=_no_doctype)
    try:
        yield
    except (*BROKEN, *own) as error:
        raise damaged() from error


def damaged() -> Unreadable:
    """What is said of an office file in which parts are missing or wrong."""
    return Unreadable("damaged", "The file is damaged; open it, save it again and upload that.")


def _no_doctype(name: str, piece: bytes) -> None:
    if name.lower().endswith(XML) and DOCTYPE.search(piece):
        raise damaged()
