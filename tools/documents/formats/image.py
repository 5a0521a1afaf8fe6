"""Images, by OCR. A TIFF's frames are its pages; of what moves, the first picture is read."""

import io
from typing import BinaryIO

from PIL import Image, ImageSequence, UnidentifiedImageError

from tools.documents.block_collector import BlockCollector
from tools.documents.blocks import ReadBlocks, Unreadable
from tools.documents.formats import ReadOptions
from tools.documents.formats.scans import Scanner
from tools.ocr.reading import MAX_PIXELS

ERRORS = (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError)


def read(file: BinaryIO, options: ReadOptions) -> ReadBlocks:
    """Raises Unreadable: damaged, too_large, no_text."""
    gathering = BlockCollector(options.max_characters)
    scanner = Scanner(options.ocr_pages, options.ocr_s)
    frames = _frames(file)
    if frames > 1:
        _read_frames(file, frames, scanner, gathering)
    else:
        file.seek(0)
        _add(scanner.read(file.read()), 1, gathering)
    if not gathering.blocks:
        raise Unreadable("no_text", "No text was found in the image.")
    gathering.note("The text was read from a picture; it may have errors.")
    return gathering.done(pages=frames)


def _frames(file: BinaryIO) -> int:
    """How many pages a TIFF has; 1 for the others, and for what is refused when it is read."""
    try:
        with Image.open(file, formats=("TIFF",)) as image:
            return getattr(image, "n_frames", 1)
    except (*ERRORS, Image.DecompressionBombError):
        return 1


def _read_frames(file: BinaryIO, frames: int, scanner: Scanner, gathering: BlockCollector) -> None:
    try:
        with Image.open(file, formats=("TIFF",)) as image:
            for number, frame in enumerate(ImageSequence.Iterator(image), 1):
                if not scanner.may_go_on():
                    gathering.note(f"Text was looked for in the first {number - 1} of {frames} pages.")
                    return
                _add(scanner.read(_packed(frame)), number, gathering)
    except Image.DecompressionBombError:
        raise _too_large() from None
    except ERRORS as error:
        raise Unreadable("damaged", "The image is damaged; export it again and upload that.") from error


def _packed(frame: Image.Image) -> bytes:
    if frame.width * frame.height > MAX_PIXELS:  # known before a pixel is unpacked
        raise _too_large()
    packed = io.BytesIO()
    frame.convert("RGB").save(packed, "BMP")
    return packed.getvalue()


def _too_large() -> Unreadable:
    return Unreadable("too_large", f"The image has more than {MAX_PIXELS:,} pixels; make it smaller.")


def _add(paragraphs: list[str], page: int, gathering: BlockCollector) -> None:
    for paragraph in paragraphs:
        gathering.add("text", paragraph, page)
