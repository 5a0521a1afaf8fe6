"""The kinds of configured tools: one line each."""

from collections.abc import Mapping

from tools.configured import cube, http_get, http_post, ocr, rag, sql
from tools.configured.kind import KindSpec

KINDS: Mapping[str, KindSpec] = {
    "HTTP_GET": http_get.KIND,
    "HTTP_POST": http_post.KIND,
    "RAG": rag.KIND,
    "SQL": sql.KIND,
    "OCR": ocr.KIND,
    "CUBE": cube.KIND,
}
