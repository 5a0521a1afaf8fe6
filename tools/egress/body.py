"""The body of a response, counted while it is decompressed, so that neither a gzip bomb nor a slow drip can hold a worker.

httpx2 decompresses whole chunks: 64 KiB of gzip can become 64 MiB at once. So the guard decompresses itself, never beyond the
limit, and callers see the plain body.
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
    """Convert httpcore2's errors to ours. Their messages may quote headers, so only those about connecting are kept."""
    try:
        yield
    except (TimeoutError, httpcore2.TimeoutException):
        raise EgressFailed(f"{host} did not respond in time.") from None
    except httpcore2.ConnectError as error:
        raise EgressFailed(f"{host} can't be reached: {error}.") from None
    except httpcore2.NetworkError:
        raise EgressFailed(f"The connection to {host} was lost.") from None
    except httpcore2.LocalProtocolError:
        raise EgressFailed(f"The request to {host} can't be sent: a header contains an invalid character.") from None
    except httpcore2.ProtocolError:
        raise EgressFailed(f"{host} closed the connection or did not speak HTTP.") from None


class GuardedBody(httpx2.AsyncByteStream):
    """The plain bytes of a response. Raises EgressTooLarge beyond `max_bytes`: compressed, plain, or `announced` by a header,
    and EgressFailed at `deadline` (loop time) or if the response is incomplete."""

    def __init__(
        self,
        response: httpcore2.Response,
        host: str,
        *,
        compressed: bool,
        announced: int,
        max_bytes: int,
        deadline: float,
    ) -> None:
        self._response = response
        self._host = host
        self._decompressor = zlib.decompressobj(GZIP) if compressed else None
        self._announced = announced
        self._max_bytes = max_bytes
        self._deadline = deadline
        self._received_bytes = 0
        self._decompressed_bytes = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._announced > self._max_bytes:
            raise self._too_large()  # only now, so that the caller has seen the status
        async with aclosing(self._response.aiter_stream()) as stream:
            while (chunk := await self._next(stream)) is not None:
                self._received_bytes += len(chunk)
                plain = self._decompress(chunk)
                self._decompressed_bytes += len(plain)
                if max(self._received_bytes, self._decompressed_bytes) > self._max_bytes:
                    raise self._too_large()
                if plain:
                    yield plain
        if self._decompressor is not None and self._received_bytes and not self._decompressor.eof:
            raise EgressFailed(f"The response from {self._host} is incomplete.")

    def _too_large(self) -> EgressTooLarge:
        return EgressTooLarge(f"The response from {self._host} is larger than {self._max_bytes:,} bytes.")

    async def aclose(self) -> None:
        with translate_errors(self._host):
            await self._response.aclose()

    async def _next(self, stream: AsyncIterator[bytes]) -> bytes | None:
        """The next bytes as received; None at the end."""
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
            raise EgressFailed(f"The response from {self._host} is not valid gzip.") from None
