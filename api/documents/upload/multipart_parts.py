"""multipart/form-data, as it comes: each part with a file name goes straight into a sink, the others are fields.

The parser is the one that Litestar brings (`multipart`); what it leaves open is bounded here: how much may stand before the
first part, how large fields may be, how many parts there are.
"""

import re
from collections.abc import AsyncIterator
from urllib.parse import unquote

from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser

from api.documents.upload.batch import TOO_LARGE, Batch, ReceivedFile
from api.documents.upload.file_sink import FileSink
from schema.errors import InputError

MAX_BOUNDARY = 70  # RFC 2046
MAX_PREAMBLE = 64 * 1024
MAX_FIELD, MAX_FIELDS, MAX_SAID = 64 * 1024, 200, 256 * 1024
EXTENDED_NAME = re.compile(r";\s*filename\*\s*=\s*utf-8'[^']*'([^;\s\"]+)", re.IGNORECASE)
WRONG = "The body is not valid multipart/form-data, or it is incomplete. Send it again."


class FormReader:
    """Reads one body into a batch. `form` are its fields, in the order in which they came."""

    def __init__(self, boundary: str, batch: Batch) -> None:
        self.form: list[tuple[str, str]] = []
        self._batch = batch
        self._parser = PushMultipartParser(
            checked_boundary(boundary), max_segment_count=batch.limits.max_files + MAX_FIELDS
        )
        self._segment: MultipartSegment | None = None
        self._sink: FileSink | None = None
        self._value = b""
        self._said = 0
        self._begun = False

    async def read(self, chunks: AsyncIterator[bytes]) -> None:
        """Read all of it. Raises InputError, and what counting in the batch raises."""
        try:
            async for chunk in chunks:
                self._batch.count(len(chunk))
                for event in self._parser.parse(chunk):
                    await self._take(event)
                if not self._begun and self._batch.came > MAX_PREAMBLE:
                    raise InputError(WRONG)
            self._parser.close()
        except ParserLimitReached:
            raise InputError("The form has too many parts, or the headers of a part are too long.") from None
        except MultipartError:
            raise InputError(WRONG) from None
        finally:
            if self._sink is not None:
                self._sink.abandon()

    async def _take(self, event: MultipartSegment | bytes | bytearray | None) -> None:
        if isinstance(event, MultipartSegment):
            self._begun, self._segment, self._value = True, event, b""
            self._sink = None if file_name(event) is None else self._batch.begin()
        elif event is None:
            await self._end()
        elif self._sink is not None:
            await self._write(self._sink, bytes(event))
        else:
            self._value += event
            self._said += len(event)
            if len(self._value) > MAX_FIELD or self._said > MAX_SAID:
                raise InputError(f"A form field must not exceed {MAX_FIELD:,} bytes.", field=self._name)

    async def _write(self, sink: FileSink, data: bytes) -> None:
        before = sink.size
        await sink.write(data)
        if not sink.overflowed:
            self._batch.hold(len(data))
        elif before <= self._batch.limits.max_file:
            self._batch.hold(-before)

    async def _end(self) -> None:
        assert self._segment is not None
        sink, self._sink = self._sink, None
        if sink is None:
            self.form.append((self._name, self._text()))
            return
        name = file_name(self._segment) or ""
        await sink.close()
        if sink.overflowed:
            self._batch.refuse(name, TOO_LARGE, self._batch.limits.too_large())
        elif name or sink.size:  # a browser sends an empty part for a field in which nothing was chosen
            self._batch.received.append(ReceivedFile(name, sink.path, sink.size, sink.sha256))

    def _text(self) -> str:
        try:
            text = self._value.decode()
        except UnicodeDecodeError:
            raise InputError("Form fields must be UTF-8.", field=self._name) from None
        if "\0" in text:
            raise InputError("A form field contains the character U+0000. Remove it.", field=self._name)
        return text

    @property
    def _name(self) -> str:
        return (self._segment.name or "")[:80] if self._segment else ""


def file_name(segment: MultipartSegment) -> str | None:
    """Return the name of a part's file as it was sent; None for a field."""
    if segment.filename is not None:
        return segment.filename
    extended = EXTENDED_NAME.search(segment.header("Content-Disposition") or "")
    return unquote(extended[1], errors="replace") if extended else None


def checked_boundary(boundary: str) -> str:
    """Return the boundary. Raises InputError for none, and for one that no client makes."""
    if not 1 <= len(boundary) <= MAX_BOUNDARY or not boundary.isascii() or not boundary.isprintable():
        raise InputError("The Content-Type of a form must have a boundary of 1 to 70 characters.", field="Content-Type")
    return boundary
