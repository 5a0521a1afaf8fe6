"""Text from images: read where it can be, and images that are none, too large or bombs are a clear error."""

import io
import struct
import zlib

import pytest
from PIL import Image, ImageDraw, ImageFont

from tests.tools.tool_contexts import call, failure, file_store, make_context
from tools.builtin import read_image
from tools.errors import ToolUnavailable
from tools.run_sandboxed import run_sandboxed


def picture(*lines: str, kind: str = "PNG") -> bytes:
    """Black lines of text on white."""
    image = Image.new("RGB", (500, 60 + 60 * len(lines)), "white")
    for number, line in enumerate(lines):
        ImageDraw.Draw(image).text((20, 30 + 60 * number), line, font=ImageFont.load_default(size=32), fill="black")
    packed = io.BytesIO()
    image.save(packed, kind)
    return packed.getvalue()


def png(width: int, height: int) -> bytes:
    """A small file that says it has so many pixels, all of them black."""

    def part(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", zlib.compress(b"\0" * 100_000)) + part(b"IEND", b"")
    )


HOSTILE = {
    "empty": b"",
    "text": b"not an image",
    "cut": picture("Hello")[:200],
    "bomb": png(60_000, 60_000),
    "unfinished": png(3_000, 3_000),
    "no_width": png(0, 10),
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file",
    "pdf": b"%PDF-1.7\n",
}


def inspect_all(question: dict[str, object], attached: bytes) -> list[str]:
    """Runs in the child: the code of each hostile image's error, one start for all of them."""
    from tools.errors import ToolFailed
    from tools.ocr.recognition import run

    def outcome(image: bytes) -> str:
        try:
            return str(run({}, image))
        except ToolFailed as error:
            return error.code

    return [outcome(image) for image in HOSTILE.values()]


async def test_the_lines_of_an_image_are_read_from_top_to_bottom() -> None:
    context = make_context(files=file_store(scan=picture("Invoice No 10498", "Total: 1,250,000 VND", kind="JPEG")))
    result = await call(read_image.build(), context, file_id="scan")
    assert "Invoice No 10498\nTotal: 1,250,000 VND" == result.text
    assert [True, True] == [line["score"] > 0.9 and line["box"][0] < 60 for line in result.data["lines"]]


async def test_what_is_no_image_or_a_bomb_is_a_clear_error() -> None:
    found = await run_sandboxed("tests.tools.builtin.test_read_image:inspect_all", {}, time_s=20, megabytes=2048)
    assert {
        **dict.fromkeys(HOSTILE, "tool_bad_arguments"),
        "bomb": "tool_too_large",
    } == dict(zip(HOSTILE, found, strict=True))


async def test_a_file_that_is_too_large_or_not_there_is_a_clear_error() -> None:
    context = make_context(files=file_store(large=b"x" * (21 << 20)))
    assert "tool_too_large" == (await failure(read_image.build(), context, file_id="large")).code
    assert "There is no such file." == (await failure(read_image.build(), context, file_id="other")).message
    assert "Uploaded files are not available here." == (await failure(read_image.build(), file_id="x")).message


async def test_without_the_package_or_its_models_the_tool_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_image, "REQUIRED_PACKAGES", ("no_such_package",))
    with pytest.raises(ToolUnavailable, match="no_such_package is not installed"):
        await read_image.read_text(b"")
    monkeypatch.setattr(read_image, "REQUIRED_PACKAGES", ())
    monkeypatch.setattr(read_image, "_has_models", lambda: False)
    with pytest.raises(ToolUnavailable, match="lacks its models"):
        await read_image.read_text(b"")
