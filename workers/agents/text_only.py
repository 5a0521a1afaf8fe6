"""Images attached to a question: tools read them by name, and models without vision get only the names."""

import base64
import binascii
from collections.abc import AsyncGenerator, Callable, Sequence

import msgspec

from graphs.providers.contract import (
    Delta,
    ImagePart,
    Message,
    ModelInfo,
    ModelRequest,
    Part,
    Provider,
    TextPart,
)
from schema.errors import NotFound


def append_image_names(question: Message) -> tuple[Message, dict[str, str]]:
    """Return the question with a line that names its images (image_1, …), and their URLs by name."""
    found = {f"image_{n}": part.url for n, part in enumerate(_images(question.parts), 1)}
    if not found:
        return question, {}
    names = TextPart(f"[attached: {', '.join(found)}; tools take these names as file ids]")
    return msgspec.structs.replace(question, parts=(*question.parts, names)), found


class AttachedImages:
    """The images of a question, as files."""

    def __init__(self, found: dict[str, str]) -> None:
        self._found = found

    async def read(self, name: str) -> bytes:
        """Return an image's bytes. Raises NotFound for an unknown name, and for an image that was sent as a URL."""
        url = self._found.get(name)
        if url is None:
            known = ", ".join(self._found) or "none"
            raise NotFound(f"No such file: {name[:80]!r}. Attached files: {known}.")
        head, comma, data = url.partition(",")
        if not (head.startswith("data:") and head.endswith(";base64") and comma):
            raise NotFound(f"{name} was sent as a URL, so its contents are not available. Send it as data.")
        try:
            return base64.b64decode(data, validate=True)
        except binascii.Error:
            raise NotFound(f"{name} is not valid base64. Send the image again.") from None


class TextOnlyProvider:
    """A provider for models without vision: images are removed from requests, and their names remain in the text."""

    def __init__(self, provider: Provider, on_removed: Callable[[], None]) -> None:
        """`on_removed` is called when a request had images."""
        self._provider, self.name, self._on_removed = provider, provider.name, on_removed

    def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        """See `Provider.stream`."""
        messages = tuple(_without_images(message) for message in request.messages)
        if messages != request.messages:
            self._on_removed()
        return self._provider.stream(msgspec.structs.replace(request, messages=messages))

    async def list_models(self) -> list[ModelInfo]:
        """See `Provider.list_models`."""
        return await self._provider.list_models()

    async def check_key(self) -> None:
        """See `Provider.check_key`."""
        await self._provider.check_key()


def _without_images(message: Message) -> Message:
    if not any(isinstance(part, ImagePart) for part in message.parts):
        return message
    return msgspec.structs.replace(message, parts=tuple(p for p in message.parts if not isinstance(p, ImagePart)))


def _images(parts: Sequence[Part]) -> list[ImagePart]:
    return [part for part in parts if isinstance(part, ImagePart)]
