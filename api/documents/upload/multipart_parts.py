"""Parses multipart/form-data while it arrives: parts with a file name go straight into a sink, the others are fields.

The parser is `multipart`, which Litestar depends on. Limits that it lacks are enforced here: size of the preamble, size of
fields, number of parts.
"""

from collections.abc import AsyncIterator
from urllib.parse import unquote

from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser

from schema.errors import InputError
from workers.uploads.batch import TOO_LARGE, Batch, ReceivedFile
from workers.uploads.fetch import EXTENDED_NAME
from workers.uploads.file_sink import FileSink

MAX_BOUNDARY = 70  # RFC 2046
MAX_PREAMBLE = 64 * 1024
MAX_FIELD, MAX_FIELDS, MAX_FORM = 64 * 1024, 200, 256 * 1024
INVALID_FORM = "The body is not valid multipart/form-data, or it is incomplete. Send it again."


class FormReader:
    """Reads one body into a batch. `form` has its fields, in order."""

    def __init__(self, boundary: str, batch: Batch) -> None:
        self.form: list[tuple[str, str]] = []
        self._batch = batch
        self._parser = PushMultipartParser(
            checked_boundary(boundary), max_segment_count=batch.limits.max_files + MAX_FIELDS
        )
        self._segment: MultipartSegment | None = None
        self._sink: FileSink | None = None
        self._value = b""
        self._field_bytes = 0
        self._started = False

    async def read(self, chunks: AsyncIterator[bytes]) -> None:
        """Read the whole body. Raises InputError, and what the batch raises when it counts."""
        try:
            async for chunk in chunks:
                self._batch.count_received(len(chunk))
                for event in self._parser.parse(chunk):
                    await self._on_event(event)
                if not self._started and self._batch.received_bytes > MAX_PREAMBLE:
                    raise InputError(INVALID_FORM)
            self._parser.close()
        except ParserLimitReached:
            raise InputError("The form has too many parts, or the headers of a part are too long.") from None
        except MultipartError:
            raise InputError(INVALID_FORM) from None
        finally:
            if self._sink is not None:
                self._sink.close_unfinished()

    async def _on_event(self, event: MultipartSegment | bytes | bytearray | None) -> None:
        if isinstance(event, MultipartSegment):
            self._started, self._segment, self._value = True, event, b""
            self._sink = None if file_name(event) is None else self._batch.open_sink()
        elif event is None:
            await self._end_part()
        elif self._sink is not None:
            await self._write(self._sink, bytes(event))
        else:
            self._value += event
            self._field_bytes += len(event)
            if len(self._value) > MAX_FIELD or self._field_bytes > MAX_FORM:
                raise InputError(f"A form field must not exceed {MAX_FIELD:,} bytes.", field=self._name)

    async def _write(self, sink: FileSink, data: bytes) -> None:
        before = sink.size
        await sink.write(data)
        if not sink.overflowed:
            self._batch.count_stored(len(data))
        elif before <= self._batch.limits.max_file:
            self._batch.count_stored(-before)

    async def _end_part(self) -> None:
        assert self._segment is not None
        sink, self._sink = self._sink, None
        if sink is None:
            self.form.append((self._name, self._text()))
            return
        name = file_name(self._segment) or ""
        await sink.close()
        if sink.overflowed:
            self._batch.refuse(name, TOO_LARGE, self._batch.limits.too_large())
        elif name or sink.size:  # browsers send an empty part for a file field that was left empty
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
    """Return the boundary. Raises InputError for a missing or invalid one."""
    if not 1 <= len(boundary) <= MAX_BOUNDARY or not boundary.isascii() or not boundary.isprintable():
        raise InputError("The Content-Type of a form must have a boundary of 1 to 70 characters.", field="Content-Type")
    return boundary
