"""`read_image`: the text in an uploaded image (OCR), in a child process with limits. Needs rapidocr and onnxruntime, whose
models come with the package."""

from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tools.contract import FunctionTool, Tool, ToolContext, ToolResult, ToolSpec
from tools.errors import ToolTooLarge, ToolUnavailable
from tools.run_sandboxed import STARTUP_TIMEOUT_S, run_sandboxed

TIME_S = 20
MEGABYTES = 2048
MAX_BYTES = 20 * 1024 * 1024
MODELS = ("detection of lines", "direction", "recognition")
REQUIRED_PACKAGES = ("rapidocr", "onnxruntime", "PIL", "numpy")

SPEC = ToolSpec(
    name="read_image",
    description=(
        "Read the text in an uploaded image: a scan, a photo of a receipt, a screenshot. Returns its lines from top to "
        "bottom. Marks on Vietnamese letters may be lost."
    ),
    parameters={
        "type": "object",
        "properties": {
            "file_id": {"type": "string", "description": "The uploaded image", "minLength": 1, "maxLength": 100}
        },
        "required": ["file_id"],
        "additionalProperties": False,
    },
    untrusted=True,
    timeout_s=TIME_S + STARTUP_TIMEOUT_S + 2.0,
)


async def read(time_s: int, arguments: dict[str, Any], context: ToolContext) -> ToolResult:
    """Raises ToolUnavailable if there are no files, and what `read_text` raises."""
    if context.files is None:
        raise ToolUnavailable("Uploaded files are not available here.")
    return await read_text(await context.files(arguments["file_id"]), time_s=time_s)


async def read_text(image: bytes, *, time_s: int = TIME_S) -> ToolResult:
    """The text in an image. `data` is `{"lines": [{"text", "score", "box"}]}`. Raises ToolBadArguments for what is no
    image, ToolTooLarge, ToolTimeout, ToolUnavailable."""
    if missing := [name for name in REQUIRED_PACKAGES if find_spec(name) is None]:
        raise ToolUnavailable(
            f"Images can't be read here: {', '.join(missing)} is not installed; an admin must install it."
        )
    if not _has_models():
        raise ToolUnavailable(
            "Images can't be read here: the installed rapidocr lacks its models; an admin must reinstall it."
        )
    if len(image) > MAX_BYTES:
        raise ToolTooLarge(f"The image is larger than {MAX_BYTES:,} bytes; make it smaller.")
    found = await run_sandboxed("tools.ocr.recognition:run", {}, image, time_s=time_s, megabytes=MEGABYTES)
    text = "\n".join(line["text"] for line in found["lines"])
    return ToolResult(text or "No text was found in the image.", found)


def _has_models() -> bool:
    """Whether the package includes the models; otherwise rapidocr would download them, bypassing the egress guard."""
    package = find_spec("rapidocr")
    folders = package.submodule_search_locations or [] if package else []
    return any(len(list(Path(folder, "models").glob("*.onnx"))) >= len(MODELS) for folder in folders)


def build(time_s: int = TIME_S) -> Tool:
    return FunctionTool(SPEC, partial(read, time_s))
