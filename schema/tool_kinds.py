"""The kinds of tools that are rows. What one does is in `tools/configured/`."""

from typing import Literal, get_args

ToolKind = Literal["HTTP_GET", "HTTP_POST", "RAG", "SQL", "OCR", "CUBE"]

TOOL_KINDS: tuple[ToolKind, ...] = get_args(ToolKind)
