"""What of a stream's options has no effect, for the header that names it."""

import msgspec
from msgspec import Raw

from api.openai.schemas import StreamOptionsIn

_split = msgspec.json.Decoder(dict[str, Raw]).decode


def ignored_stream_options(body: bytes, options: StreamOptionsIn | None) -> list[str]:
    """Return the names of what is ignored of a valid request's `stream_options`: streams are not obfuscated, and what nobody
    knows."""
    if options is None:
        return []
    sent = _split(_split(body)["stream_options"])
    obfuscated = ["stream_options.include_obfuscation"] if options.include_obfuscation else []
    known = StreamOptionsIn.__struct_fields__
    return obfuscated + [f"stream_options.{name}" for name in sent if name not in known]
