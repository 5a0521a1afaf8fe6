"""One call to a vendor over the process's shared aiohttp session: open it, watch it, translate what goes wrong.

Every provider that speaks HTTP goes through `VendorHttp`; nothing else in `providers/` catches aiohttp's errors.
Not for: what the bytes mean (`sse.py`, `openai_wire.py`, `ollama_wire.py`).
"""

import asyncio
import errno
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

import aiohttp
import msgspec
from yarl import URL

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

T = TypeVar("T")

DRAIN_S = 0.05  # a new connection costs a vendor far away about as much
ERROR_BODY_LIMIT = 16_384
ANSWER_LIMIT = 64 * 1024 * 1024


class VendorStream:
    """The answer's bytes as they arrive, under a watchdog.

    The watchdog is one timer per stream that is re-armed only when it fires, so a token costs it one clock reading.
    It counts silence only while someone is reading: a slow reader is not a slow vendor.
    """

    def __init__(
        self, content: aiohttp.StreamReader, provider: str, *, begun_at: float, first_s: float, next_s: float
    ) -> None:
        self._content = content
        self._provider = provider
        self._loop = asyncio.get_running_loop()
        self._limit_s = first_s
        self._next_s = next_s
        self._begun = False
        self._reading = False
        self._heard_at = begun_at
        self._timer = self._loop.call_at(begun_at + first_s, self._look)

    async def read(self) -> bytes:
        """The next bytes, b"" at the end. Raises ProviderTimeout, ProviderStalled or ProviderCut."""
        self._reading = True
        try:
            return await self._content.readany()
        except (aiohttp.ClientError, OSError) as exc:
            raise ProviderStreamCut(f"{self._provider} dropped the connection in mid-answer.") from exc
        finally:
            self._reading = False

    def heard(self, next_s: float | None = None) -> None:
        """Called after each piece that held a token; `next_s` changes the limit from here on."""
        self._heard_at = self._loop.time()
        if not self._begun or next_s is not None:
            self._begun = True
            self._limit_s = self._next_s if next_s is None else next_s
            self._timer.cancel()
            self._timer = self._loop.call_later(self._limit_s, self._look)

    async def drain(self) -> None:
        """After the end mark: takes what little is left, so that the connection can serve the next call."""
        if not self._content.at_eof():
            self.heard(DRAIN_S)
            with suppress(ProviderError):
                while await self.read():
                    pass

    def stop_watching(self) -> None:
        """Takes the timer off the loop; the owner calls it on every way out."""
        self._timer.cancel()

    def _look(self) -> None:
        if not self._reading:
            self._heard_at = self._loop.time()
        left_s = self._heard_at + self._limit_s - self._loop.time()
        if left_s > 0:
            self._timer = self._loop.call_later(left_s, self._look)
        else:
            self._content.set_exception(self._silence())

    def _silence(self) -> ProviderError:
        if self._begun:
            return ProviderStalled(f"{self._provider} stopped in mid-answer for {self._limit_s:g} s.")
        return ProviderTimeout(f"{self._provider} sent no token within {self._limit_s:g} s.")


class VendorClient:
    """HTTP to one vendor: its base URL, headers, time limits and, for masking in excerpts only, its key."""

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
        self, path: str, body: bytes, *, model: str = "", first_s: float | None = None, next_s: float | None = None
    ) -> AsyncGenerator[VendorStream, None]:
        """POSTs and hands out the answer as a `Wire`; the socket is closed on the way out unless all was read."""
        first_s = self.timeouts.first_token_s if first_s is None else first_s
        next_s = self.timeouts.between_tokens_s if next_s is None else next_s
        begun_at = asyncio.get_running_loop().time()
        response = await self._answer(path, body, model, first_s)
        wire = VendorStream(response.content, self.provider, begun_at=begun_at, first_s=first_s, next_s=next_s)
        try:
            yield wire
        finally:
            wire.stop_watching()
            response.close()  # does nothing when the answer was read to its end: the connection is already free

    async def request(
        self, method: str, path: str, body: bytes | None = None, limit_s: float | None = None, *, model: str = ""
    ) -> bytes:
        """One management call, answered whole; raises `ProviderError`s like a stream does."""
        limit_s = self.timeouts.manage_s if limit_s is None else limit_s
        try:
            async with asyncio.timeout(limit_s):
                async with await self._send(method, path, body) as response:
                    await self._check_status(response, model)
                    return await self._whole(response, ANSWER_LIMIT)
        except TimeoutError as exc:
            raise ProviderTimeout(f"{self.provider} did not answer within {limit_s:g} s.") from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise ProviderStreamCut(f"{self.provider} dropped the connection in mid-answer.") from exc

    async def _whole(self, response: aiohttp.ClientResponse, limit: int) -> bytes:
        pieces, size = [], 0
        async for piece in response.content.iter_any():
            size += len(piece)
            if size > limit:
                raise ProviderInvalidResponse(f"{self.provider} sent more than {limit >> 10} KiB.")
            pieces.append(piece)
        return b"".join(pieces)

    async def _answer(self, path: str, body: bytes, model: str, first_s: float) -> aiohttp.ClientResponse:
        """The response once its status is known to be good; every other way the connection is given back."""
        response: aiohttp.ClientResponse | None = None
        try:
            async with asyncio.timeout(first_s):
                response = await self._send("POST", path, body)
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

    async def _send(self, method: str, path: str, body: bytes | None) -> aiohttp.ClientResponse:
        # A pooled connection that the vendor closed a moment ago fails before any answer: one more try on a new one.
        url = path if "://" in path else f"{self.base_url}/{path}"
        for last_try in (False, True):
            try:
                # Redirects are not followed: the key must not travel to another address.
                return await self._session.request(
                    method, url, data=body, headers=self._headers, timeout=self._limits, allow_redirects=False
                )
            except (aiohttp.ConnectionTimeoutError, aiohttp.ServerTimeoutError) as exc:
                raise ProviderUnreachable(
                    f"{self.provider} at {self.address} did not accept a connection within "
                    f"{self.timeouts.connect_s:g} s."
                ) from exc
            except EgressRefused as exc:
                raise ProviderAddressRefused(f"The address of {self.provider} was refused: {exc.message}") from exc
            except aiohttp.ClientResponseError:
                # Without its cause: aiohttp quotes the bytes that it could not read, and a vendor may echo the key.
                raise ProviderInvalidResponse(f"{self.provider} did not answer in HTTP.") from None
            except (aiohttp.ClientError, OSError) as exc:
                if not _was_dropped(exc):
                    raise ProviderUnreachable(f"{self.provider} at {self.address} can't be reached.") from exc
                if last_try:
                    raise ProviderUnreachable(f"{self.provider} dropped the connection before answering.") from exc
        raise AssertionError("unreachable: the second try returns or raises")

    async def _check_status(self, response: aiohttp.ClientResponse, model: str) -> None:
        if response.status == 200:
            return
        try:
            said = (await self._whole(response, ERROR_BODY_LIMIT)).decode("utf-8", "replace")
        except (aiohttp.ClientError, OSError, ProviderInvalidResponse):
            said = ""  # the status alone decides
        raise error_for_status(self.provider, response.status, response.headers, said, key=self._key, model=model)


def decode_answer(provider: str, decode: Callable[[bytes], T], data: bytes) -> T:
    """`decode(data)`, with what can't be decoded reported as the provider's garbage."""
    try:
        return decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise ProviderInvalidResponse(f"{provider} sent something that is not its protocol.") from exc


def _was_dropped(error: Exception) -> bool:
    """Whether a connection ended that had been made; how that is told depends on the event loop, Python and the moment."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return False
    reset = isinstance(error, OSError) and error.errno in (errno.ECONNRESET, errno.EPIPE)
    return reset or isinstance(error, (aiohttp.ServerDisconnectedError, ConnectionResetError))
