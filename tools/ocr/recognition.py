"""Runs in the child process: takes an image, returns lines of text from top to bottom.

Rapidocr's models read Latin and Chinese; they drop some Vietnamese diacritics, and the tool's description says so.
"""

import io
from typing import Any

import numpy
from PIL import Image, ImageOps, UnidentifiedImageError
from rapidocr import RapidOCR

from tools.errors import ToolBadArguments, ToolTooLarge

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
MAX_PIXELS = 40_000_000
MAX_SIDE_PIXELS = 2_400
"""Larger images are scaled down first; letters on a scanned page are still 20 pixels high then."""

ENGINE = RapidOCR(
    params={
        "EngineConfig.onnxruntime.intra_op_num_threads": 1,
        "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        "Global.log_level": "critical",
        "Global.max_side_len": MAX_SIDE_PIXELS,
    }
)


def run(request: dict[str, Any], attachment: bytes) -> dict[str, Any]:
    """Return `lines` of `text`, `score` (0 to 1) and `box` (left, top, right, bottom, in pixels of the original image)."""
    image, scale = _open_image(attachment)
    found: Any = ENGINE(numpy.asarray(image)[:, :, ::-1])
    if not found.txts:
        return {"lines": []}
    lines = []
    for text, score, corners in zip(found.txts, found.scores, found.boxes, strict=True):
        xs, ys = ([round(float(corner[axis]) * scale) for corner in corners] for axis in (0, 1))
        lines.append({"text": text, "score": round(float(score), 3), "box": [min(xs), min(ys), max(xs), max(ys)]})
    return {"lines": lines}


def _open_image(data: bytes) -> tuple[Image.Image, float]:
    """The image upright, in RGB, scaled down to the size limit, and the scale factor back to the original."""
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        if image.width * image.height > MAX_PIXELS:  # known from the header, before any pixel is decoded
            raise Image.DecompressionBombError
        upright = ImageOps.exif_transpose(image)
        width = upright.width
        upright = _flatten_on_white(upright)
        upright.thumbnail((MAX_SIDE_PIXELS, MAX_SIDE_PIXELS))
    except Image.DecompressionBombError:
        raise ToolTooLarge(f"The image has more than {MAX_PIXELS:,} pixels; make it smaller.") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
        raise ToolBadArguments(
            f"The file is damaged or not a supported image; it must be {', '.join(FORMATS)}.", field="file_id"
        ) from None
    return upright, width / upright.width


def _flatten_on_white(image: Image.Image) -> Image.Image:
    """Put transparent images on white, since text is mostly dark."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        white.alpha_composite(layer)
        image = white
    return image.convert("RGB")
