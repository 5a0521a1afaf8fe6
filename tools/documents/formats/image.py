"""Images, by OCR. The frames of a TIFF are its pages; of animations, only the first frame is read."""

import io
from typing import BinaryIO

from PIL import Image, ImageSequence, UnidentifiedImageError

from tools.documents.block_collector import BlockCollector
from tools.documents.blocks import ReadBlocks, Unreadable
from tools.documents.formats import ReadOptions
from tools.documents.formats.scans import Scanner
from tools.ocr.recognition import MAX_PIXELS

IMAGE_ERRORS = (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError)


def read(file: BinaryIO, options: ReadOptions) -> ReadBlocks:
    """Raises Unreadable: damaged, too_large, no_text."""
    collector = BlockCollector(options.max_characters)
    scanner = Scanner(options.ocr_pages, options.ocr_s)
    frames = _count_frames(file)
    if frames > 1:
        _read_frames(file, frames, scanner, collector)
    else:
        file.seek(0)
        _add_paragraphs(scanner.read(file.read()), 1, collector)
    if not collector.blocks:
        raise Unreadable("no_text", "No text was found in the image.")
    collector.note("The text was extracted by OCR; it may contain errors.")
    return collector.finish(pages=frames)


def _count_frames(file: BinaryIO) -> int:
    """How many pages a TIFF has; 1 for other images, and for files that fail when they are read."""
    try:
        with Image.open(file, formats=("TIFF",)) as image:
            return getattr(image, "n_frames", 1)
    except (*IMAGE_ERRORS, Image.DecompressionBombError):
        return 1


def _read_frames(file: BinaryIO, frames: int, scanner: Scanner, collector: BlockCollector) -> None:
    try:
        with Image.open(file, formats=("TIFF",)) as image:
            for number, frame in enumerate(ImageSequence.Iterator(image), 1):
                if not scanner.has_budget():
                    collector.note(f"Only the first {number - 1} of {frames} pages were searched for text.")
                    return
                _add_paragraphs(scanner.read(_to_bmp(frame)), number, collector)
    except Image.DecompressionBombError:
        raise _too_large_error() from None
    except IMAGE_ERRORS as error:
        raise Unreadable("damaged", "The image is damaged; export it again and upload that.") from error


def _to_bmp(frame: Image.Image) -> bytes:
    if frame.width * frame.height > MAX_PIXELS:  # known before any pixel is decoded
        raise _too_large_error()
    buffer = io.BytesIO()
    frame.convert("RGB").save(buffer, "BMP")
    return buffer.getvalue()


def _too_large_error() -> Unreadable:
    return Unreadable("too_large", f"The image has more than {MAX_PIXELS:,} pixels; make it smaller.")


def _add_paragraphs(paragraphs: list[str], page: int, collector: BlockCollector) -> None:
    for paragraph in paragraphs:
        collector.add("text", paragraph, page)
