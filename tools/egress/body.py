"""The body of an answer, counted as it is unpacked, so that neither a bomb nor a drip can hold a worker.

httpx2 unpacks whole chunks: 64 KiB of gzip are up to 64 MiB at once. So the guard unpacks itself, never more than may
still come, and callers see the plain body.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager

import httpcore2
import httpx2

from schema.errors import EgressFailed, EgressTooLarge

GZIP = 16 + zlib.MAX_WBITS


@contextmanager
def translate_errors(host: str) -> Iterator[None]:
    """Turns what httpcore2 raises into our errors. Its texts may quote headers, so only those about connecting are kept."""
    try:
        yield
    except (TimeoutError, httpcore2.TimeoutException):
        raise EgressFailed(f"{host} did not answer in time.") from None
    except httpcore2.ConnectError as error:
        raise EgressFailed(f"{host} can't be reached: {error}.") from None
    except httpcore2.NetworkError:
        raise EgressFailed(f"The connection to {host} broke.") from None
    except httpcore2.LocalProtocolError:
        raise EgressFailed(f"The request to {host} can't be sent: a header holds a character that it can't.") from None
    except httpcore2.ProtocolError:
        raise EgressFailed(f"{host} broke off or did not speak HTTP.") from None


class GuardedBody(httpx2.AsyncByteStream):
    """The plain bytes of an answer. Raises EgressTooLarge after `max_bytes`, packed or plain, and EgressFailed at
    `deadline` (the loop's time) or when the answer breaks off."""

    def __init__(
        self, response: httpcore2.Response, host: str, *, compressed: bool, max_bytes: int, deadline: float
    ) -> None:
        self._response = response
        self._host = host
        self._decompressor = zlib.decompressobj(GZIP) if compressed else None
        self._max_bytes = max_bytes
        self._deadline = deadline
        self._received_bytes = 0
        self._decompressed_bytes = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async with aclosing(self._response.aiter_stream()) as stream:
            while (chunk := await self._next(stream)) is not None:
                self._received_bytes += len(chunk)
                plain = self._decompress(chunk)
                self._decompressed_bytes += len(plain)
                if max(self._received_bytes, self._decompressed_bytes) > self._max_bytes:
                    raise EgressTooLarge(f"The answer of {self._host} is larger than {self._max_bytes:,} bytes.")
                if plain:
                    yield plain
        if self._decompressor is not None and self._received_bytes and not self._decompressor.eof:
            raise EgressFailed(f"The answer of {self._host} breaks off.")

    async def aclose(self) -> None:
        with translate_errors(self._host):
            await self._response.aclose()

    async def _next(self, stream: AsyncIterator[bytes]) -> bytes | None:
        """The next bytes as they came; None at the end."""
        with translate_errors(self._host):
            async with asyncio.timeout_at(self._deadline):
                return await anext(stream, None)

    def _decompress(self, chunk: bytes) -> bytes:
        if self._decompressor is None:
            return chunk
        if self._decompressor.eof:
            return b""
        try:
            return self._decompressor.decompress(chunk, self._max_bytes - self._decompressed_bytes + 1)
        except zlib.error:
            raise EgressFailed(f"The answer of {self._host} is not the gzip that it says it is.") from None
