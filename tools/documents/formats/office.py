"""What DOCX, PPTX and XLSX have in common: a zip of XML, which is checked before a library opens it."""

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

LIBRARY_ERRORS = (
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
"""What the libraries raise for malformed files: nearly anything."""

XML_SUFFIXES = (".xml", ".rels", ".vml")
DOCTYPE = re.compile(b"<!(DOCTYPE|ENTITY)|<\0!\0(D\0O\0C\0T|E\0N\0T\0I)|\0<\0!\0(D\0O\0C\0T|E\0N\0T\0I)")
"""Also in UTF-16. Office files never contain one; attackers use it to expand entities or fetch something."""


@contextmanager
def open_checked(file: BinaryIO, *library_errors: type[Exception]) -> Iterator[None]:
    """Check the file, then turn whatever a library raises in the block (plus its own `library_errors`) into Unreadable damaged.
    Raises Unreadable: damaged, encrypted, too_large, bomb."""
    check_zip(file, inspect=_reject_doctype)
    try:
        yield
    except (*LIBRARY_ERRORS, *library_errors) as error:
        raise damaged_error() from error


def damaged_error() -> Unreadable:
    """The error for an office file with missing or wrong parts."""
    return Unreadable("damaged", "The file is damaged; open it, save it again and upload that.")


def _reject_doctype(name: str, content: bytes) -> None:
    if name.lower().endswith(XML_SUFFIXES) and DOCTYPE.search(content):
        raise damaged_error()
