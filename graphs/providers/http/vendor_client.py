"""HTTP calls to one vendor over the process's shared aiohttp session: opens them, watches them, translates errors.

Every provider that speaks HTTP uses `VendorClient`; nothing else in `providers/` catches aiohttp's errors.
Not for: what the bytes mean (`sse.py`, and `wire_format.py` of each protocol).
"""

import asyncio
import errno
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

import aiohttp
import msgspec
from yarl import URL

from graphs.fair_loop import next_step
from graphs.providers.contract import ProviderTimeouts
from graphs.providers.errors import (
    ProviderAddressRefused,
    ProviderInvalidResponse,
    ProviderStalled,
    ProviderStreamCut,
    ProviderTimeout,
    ProviderUnreachable,
)
from graphs.providers.http.statuses import error_for_status
from schema.errors import EgressRefused, ProviderError
from schema.tracing.spans import trace_headers

T = TypeVar("T")

DRAIN_S = 0.05  # about the cost of a new connection to a distant vendor
MAX_ERROR_BODY = 16_384
MAX_RESPONSE = 64 * 1024 * 1024


class VendorStream:
    """A response's bytes as they arrive, under a watchdog.

    The watchdog is one timer per stream that is re-armed only when it fires, so a token costs one clock reading. It counts
    silence only while someone is reading: a slow reader is not a slow vendor.
    """

    def __init__(
        self, content: aiohttp.StreamReader, provider: str, *, started_at: float, first_s: float, next_s: float
    ) -> None:
        self._content = content
        self._provider = provider
        self._loop = asyncio.get_running_loop()
        self._limit_s = first_s
        self._next_s = next_s
        self._has_started = False
        self._reading = False
        self._last_activity = started_at
        self._timer = self._loop.call_at(started_at + first_s, self._check_silence)

    async def read(self) -> bytes:
        """Return the next bytes, b"" at the end. Raises ProviderTimeout, ProviderStalled or ProviderStreamCut."""
        self._reading = True
        try:
            piece = await self._content.readany()
        except (aiohttp.ClientError, OSError) as exc:
            # aiohttp tells of the cut before it hands out what came before it, which may be the end of the answer.
            if left := self._content._read_nowait(-1):
                return left
            raise ProviderStreamCut(f"{self._provider} dropped the connection in the middle of its answer.") from exc
        finally:
            self._reading = False
        if await next_step() and self._content.exception() is None:
            piece += self._content.read_nowait()  # what came while others took theirs
        return piece

    def note_activity(self, next_s: float | None = None) -> None:
        """Restart the watchdog; call it after each chunk with a token. `next_s` changes the limit from here on."""
        self._last_activity = self._loop.time()
        if not self._has_started or next_s is not None:
            self._has_started = True
            self._limit_s = self._next_s if next_s is None else next_s
            self._timer.cancel()
            self._timer = self._loop.call_later(self._limit_s, self._check_silence)

    async def drain(self) -> None:
        """Read the little that is left after the end mark, so that the connection can be reused."""
        if not self._content.at_eof():
            self.note_activity(DRAIN_S)
            with suppress(ProviderError):
                while await self.read():
                    pass

    def stop_watching(self) -> None:
        """Cancel the timer; the owner calls this in any case at the end."""
        self._timer.cancel()

    def _check_silence(self) -> None:
        if not self._reading:
            self._last_activity = self._loop.time()
        left_s = self._last_activity + self._limit_s - self._loop.time()
        if left_s > 0:
            self._timer = self._loop.call_later(left_s, self._check_silence)
        else:
            self._content.set_exception(self._silence_error())

    def _silence_error(self) -> ProviderError:
        if self._has_started:
            return ProviderStalled(f"{self._provider} stopped in the middle of its answer for {self._limit_s:g} s.")
        return ProviderTimeout(f"{self._provider} sent no token within {self._limit_s:g} s.")


class VendorClient:
    """An HTTP client for one vendor: base URL, headers, time limits. The key is only for masking it in excerpts."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        provider: str,
        base_url: str,
        headers: Mapping[str, str],
        timeouts: ProviderTimeouts,
        key: str = "",
    ) -> None:
        self.provider = provider
        self.base_url = base_url.rstrip("/")
        self.address = str(URL(self.base_url).with_user(None))  # for messages: a URL may hold a password
        self.timeouts = timeouts
        self._session = session
        self._headers = {"Content-Type": "application/json", **headers}
        self._key = key
        self._limits = aiohttp.ClientTimeout(total=None, sock_connect=timeouts.connect_s)

    @asynccontextmanager
    async def open(
        self,
        path: str,
        body: bytes,
        *,
        model: str = "",
        first_s: float | None = None,
        next_s: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[VendorStream, None]:
        """POST, with `headers` besides the client's own, and yield the response as a stream; on exit, the socket is closed
        unless everything was read."""
        first_s = self.timeouts.first_token_s if first_s is None else first_s
        next_s = self.timeouts.between_tokens_s if next_s is None else next_s
        started_at = asyncio.get_running_loop().time()
        response = await self._open_response(path, body, model, first_s, headers)
        stream = VendorStream(response.content, self.provider, started_at=started_at, first_s=first_s, next_s=next_s)
        try:
            yield stream
        finally:
            stream.stop_watching()
            response.close()  # no effect if the response was read to its end: the connection has been released

    async def request(
        self, method: str, path: str, body: bytes | None = None, limit_s: float | None = None, *, model: str = ""
    ) -> bytes:
        """Make a management call and return the whole response body. Raises `ProviderError`s."""
        limit_s = self.timeouts.manage_s if limit_s is None else limit_s
        try:
            async with asyncio.timeout(limit_s):
                async with await self._send(method, path, body) as response:
                    await self._check_status(response, model)
                    return await self._read_all(response, MAX_RESPONSE)
        except TimeoutError as exc:
            raise ProviderTimeout(f"{self.provider} did not answer within {limit_s:g} s.") from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise ProviderStreamCut(f"{self.provider} dropped the connection in the middle of its answer.") from exc

    async def _read_all(self, response: aiohttp.ClientResponse, limit: int) -> bytes:
        pieces, size = [], 0
        async for piece in response.content.iter_any():
            size += len(piece)
            if size > limit:
                raise ProviderInvalidResponse(f"{self.provider} sent more than {limit >> 10} KiB.")
            pieces.append(piece)
        return b"".join(pieces)

    async def _open_response(
        self, path: str, body: bytes, model: str, first_s: float, headers: Mapping[str, str] | None
    ) -> aiohttp.ClientResponse:
        """Return the response if its status is 2xx; otherwise release the connection and raise."""
        response: aiohttp.ClientResponse | None = None
        try:
            async with asyncio.timeout(first_s):
                response = await self._send("POST", path, body, headers)
                await self._check_status(response, model)
                return response
        except TimeoutError as exc:
            if response is not None:
                response.close()
            raise ProviderTimeout(f"{self.provider} sent no token within {first_s:g} s.") from exc
        except BaseException:
            if response is not None:
                response.close()
            raise

    async def _send(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str] | None = None
    ) -> aiohttp.ClientResponse:
        # A pooled connection that the vendor has just closed fails before any response: try once more on a new one.
        url = path if "://" in path else f"{self.base_url}/{path}"
        traced = trace_headers()
        sent = {**self._headers, **(headers or {}), **traced} if headers or traced else self._headers
        for last_try in (False, True):
            try:
                # Redirects are not followed: the key must not be sent to another address.
                return await self._session.request(
                    method, url, data=body, headers=sent, timeout=self._limits, allow_redirects=False
                )
            except (aiohttp.ConnectionTimeoutError, aiohttp.ServerTimeoutError) as exc:
                raise ProviderUnreachable(
                    f"{self.provider} at {self.address} did not accept a connection within "
                    f"{self.timeouts.connect_s:g} s."
                ) from exc
            except EgressRefused as exc:
                raise ProviderAddressRefused(f"The address of {self.provider} was refused: {exc.message}") from exc
            except aiohttp.ClientResponseError:
                # Without the cause: aiohttp quotes the bytes that it couldn't parse, and a vendor may echo the key.
                raise ProviderInvalidResponse(f"{self.provider} did not answer in HTTP.") from None
            except (aiohttp.ClientError, OSError) as exc:
                if not _was_dropped(exc):
                    raise ProviderUnreachable(f"{self.provider} at {self.address} can't be reached.") from exc
                if last_try:
                    raise ProviderUnreachable(f"{self.provider} dropped the connection before answering.") from exc
        raise AssertionError("unreachable: the second try returns or raises")

    async def _check_status(self, response: aiohttp.ClientResponse, model: str) -> None:
        if 200 <= response.status < 300:  # some servers answer 201
            return
        try:
            error_body = (await self._read_all(response, MAX_ERROR_BODY)).decode("utf-8", "replace")
        except (aiohttp.ClientError, OSError, ProviderInvalidResponse):
            error_body = ""  # the status alone decides
        raise error_for_status(self.provider, response.status, response.headers, error_body, key=self._key, model=model)


def decode_response(provider: str, decode: Callable[[bytes], T], data: bytes) -> T:
    """Return `decode(data)`. Raises ProviderInvalidResponse if it can't be decoded."""
    try:
        return decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise ProviderInvalidResponse(f"{provider} sent something that is not its protocol.") from exc


def _was_dropped(error: Exception) -> bool:
    """Whether an established connection was dropped; the exception depends on event loop, Python version and timing."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return False
    reset = isinstance(error, OSError) and error.errno in (errno.ECONNRESET, errno.EPIPE)
    return reset or isinstance(error, (aiohttp.ServerDisconnectedError, ConnectionResetError))
