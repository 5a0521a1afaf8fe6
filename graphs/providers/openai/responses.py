"""One call by OpenAI's Responses API. Not for: what the bytes mean (`responses_request.py`, `responses_reader.py`), and which
models are called so (`vendors.py`, `settings.py`)."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from graphs.providers.answers.reader import read_answer
from graphs.providers.contract import Delta, ModelRequest
from graphs.providers.errors import ProviderRefused
from graphs.providers.http.vendor_client import VendorClient
from graphs.providers.openai.responses_reader import ResponsesReader
from graphs.providers.openai.responses_request import request_body
from graphs.providers.openai.vendors import Vendor


async def stream_response(
    http: VendorClient, vendor: Vendor, request: ModelRequest, key: str
) -> AsyncGenerator[Delta, None]:
    """See `Provider.stream`. A request that is refused for reasoning that can't be opened (it belongs to one organisation, and
    expires), or because summaries aren't granted, is sent once more without them."""
    began = False
    try:
        async with aclosing(_stream(http, vendor, request, key, request_body(request, vendor))) as answer:
            async for delta in answer:
                began = True
                yield delta
        return
    except ProviderRefused as refused:
        body = None if began else _second_try(request, vendor, refused)
        if body is None:
            raise
    async with aclosing(_stream(http, vendor, request, key, body)) as answer:
        async for delta in answer:
            yield delta


async def _stream(
    http: VendorClient, vendor: Vendor, request: ModelRequest, key: str, body: bytes
) -> AsyncGenerator[Delta, None]:
    reader = ResponsesReader(vendor.name, request, key)
    async with (
        http.open(vendor.route("responses"), body, model=request.model) as response,
        aclosing(read_answer(response, reader, end_mark_s=http.timeouts.end_mark_s)) as deltas,
    ):
        async for delta in deltas:
            yield delta


def _second_try(request: ModelRequest, vendor: Vendor, refused: ProviderRefused) -> bytes | None:
    """Return the body to send after a refusal that another one may mend; None if there is none."""
    said = refused.message.lower().replace("_", " ")
    if "encrypted content" in said or "type 'reasoning'" in said:
        return request_body(request, vendor, with_reasoning=False)
    if "summar" in said:
        return request_body(request, vendor, summary=False)
    return None
