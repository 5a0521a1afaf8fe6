"""The contract between headrace and model vendors: the request, and what streams back.

A message is a role and a tuple of parts. Parts are tagged structs (`{"type": "text", "text": …}` in JSON), the same
shape that messages are stored in; each provider turns them into its vendor's own. Tools, tool choice and response
format keep OpenAI's JSON shape, because the OpenAI-compatible endpoint passes them through untouched.

Not for: HTTP (`http/vendor_client.py`), choosing a vendor (`registry.py`), or prices (rows).
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec

Role = Literal["system", "developer", "user", "assistant", "tool"]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


class TextPart(msgspec.Struct, frozen=True, tag_field="type", tag="text", omit_defaults=True):
    """Text. `extra` of a part is as that of its message."""

    text: str
    extra: dict[str, Any] = {}


class ImagePart(msgspec.Struct, frozen=True, tag_field="type", tag="image", omit_defaults=True):
    """An image: a `data:` URL (base64) or, if the vendor fetches images itself, an `https:` URL."""

    url: str
    detail: Literal["auto", "low", "high"] | None = None
    extra: dict[str, Any] = {}


class FilePart(msgspec.Struct, frozen=True, tag_field="type", tag="file", omit_defaults=True):
    """A file that a message is about: its bytes in base64, a document, or a file that is kept for the client. No provider takes
    it: what was read of it, `text`, is put into the prompt (`graphs/messages.py`)."""

    name: str
    data: str = ""
    document_id: str = ""
    file_id: str = ""
    text: str = ""
    extra: dict[str, Any] = {}


class ToolCallPart(msgspec.Struct, frozen=True, tag_field="type", tag="tool_call", omit_defaults=True):
    """The model wants a tool run; `arguments` is the JSON text as the model wrote it."""

    id: str
    name: str
    arguments: str
    extra: dict[str, Any] = {}


class ToolResultPart(msgspec.Struct, frozen=True, tag_field="type", tag="tool_result", omit_defaults=True):
    """A tool's result, in a message with the role `tool`. `parts` is its text where a client marked parts of it."""

    tool_call_id: str
    text: str
    name: str = ""
    parts: tuple[TextPart, ...] = ()


Part = TextPart | ImagePart | FilePart | ToolCallPart | ToolResultPart


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message of a conversation. `Message.of("user", "hi")` is short for text alone.

    `extra` are fields that only a vendor understands, such as signatures of its thoughts, as they came. They go back to
    `vendor` alone, from which they are; those of a client, without a vendor, to whichever is asked.
    """

    role: Role
    parts: tuple[Part, ...] = ()
    extra: dict[str, Any] = {}
    vendor: str = ""

    @classmethod
    def of(cls, role: Role, text: str) -> "Message":
        """Return a message with one text part."""
        return cls(role, (TextPart(text),))

    @property
    def text(self) -> str:
        """The text of all parts, including tool results, joined by line breaks."""
        return "\n".join(p.text for p in self.parts if isinstance(p, (TextPart, ToolResultPart)))

    def without_extras(self) -> "Message":
        """Return the message as other vendors than its own may see it."""
        parts = (
            p if isinstance(p, (ToolResultPart, FilePart)) else msgspec.structs.replace(p, extra={}) for p in self.parts
        )
        return Message(self.role, tuple(parts))


class Completion(msgspec.Struct, frozen=True, omit_defaults=True):
    """Text that a model is to go on with, as it stands, instead of answering a message.

    `prompt` is what the client sent: a text, a list of texts, the tokens of one, or a list of such lists. `suffix` comes after
    what the model writes; with `echo` the prompt is repeated before it.
    """

    prompt: Any
    suffix: str = ""
    echo: bool = False

    @property
    def prompts(self) -> list[str | list[int]]:
        """The prompts, each a text or its tokens."""
        one = isinstance(self.prompt, str) or isinstance(self.prompt[0], int)
        return [self.prompt] if one else list(self.prompt)


class ModelRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One call of a model.

    `model` is the vendor's own name, without our provider prefix. None and empty mean "the vendor's default"; nothing
    is sent then. `max_tokens_name` is what the client called the limit, if it did. `tools`, `tool_choice` and
    `response_format` have OpenAI's shape. `extra` is sent verbatim by OpenAI-compatible vendors (it wins over nothing we set);
    `extras.py` says what the others take of it. With a `completion`, which only a `Completer` takes, the messages are its
    prompts, for those who measure them.
    """

    model: str
    messages: tuple[Message, ...]
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    max_tokens_name: str = ""
    stop: tuple[str, ...] = ()
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    tools: tuple[dict[str, Any], ...] = ()
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    reasoning_effort: str | None = None
    completion: Completion | None = None
    extra: dict[str, Any] = {}

    @property
    def choices(self) -> int:
        """How many choices are asked for: `n` for each prompt."""
        wanted = self.extra.get("n")
        each = max(wanted, 1) if type(wanted) is int else 1
        return each * (len(self.completion.prompts) if self.completion is not None else 1)


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tokens of one call. `estimated`: counted by `tokens.py`, because the vendor didn't.

    Of the input, `cached_tokens` came from the vendor's cache and `cache_write_tokens` went into it, of which
    `cache_write_1h_tokens` for an hour; of the output, `reasoning_tokens` were thought. They are parts of the two counts, as
    OpenAI counts: a vendor that reports them besides (Anthropic) has them added. Make it with `reported.py`, which checks
    what vendors say.
    """

    input_tokens: int
    output_tokens: int
    estimated: bool = False
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cache_write_1h_tokens: int = 0


class TextDelta(msgspec.Struct, frozen=True, tag=True, gc=False):
    """More of the answer. Several tokens that arrived together are one delta. `logprobs` are those of its tokens, in OpenAI's
    shape ({token, logprob, bytes, top_logprobs}), where they were asked for."""

    text: str
    logprobs: list[dict[str, Any]] | None = None


class RefusalDelta(msgspec.Struct, frozen=True, tag=True, gc=False):
    """The model refuses, in its words; they are not part of the answer. `logprobs` as those of text."""

    text: str
    logprobs: list[dict[str, Any]] | None = None


class ReasoningDelta(msgspec.Struct, frozen=True, tag=True, gc=False):
    """More of the model's thinking, where the vendor shows it. `signature` ends a thought that the vendor has signed; of one
    that it hides (`redacted`), it is all there is."""

    text: str
    signature: str = ""
    redacted: bool = False


class ToolCallDelta(msgspec.Struct, frozen=True, tag=True, gc=False):
    """More of tool call number `index`: `id` and `name` come once, `arguments` is appended JSON text, `extra` the vendor's."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""
    extra: dict[str, Any] = {}


class ExtraDelta(msgspec.Struct, frozen=True, tag=True):
    """Fields of the answer's message as a whole that only the vendor understands, and that must go back to it as they came, as
    signed thoughts must. They are those of the vendor's own dialect of OpenAI's messages, if it has one. Several are merged
    (`extras.merge_extra`), and end in `Message.extra`, with `Message.vendor`."""

    extra: dict[str, Any]


class Progress(msgspec.Struct, frozen=True, tag=True, gc=False):
    """Progress before the answer begins, such as a model being pulled: `done` of `total` bytes, both 0 if unknown."""

    text: str
    done: int = 0
    total: int = 0


class Finished(msgspec.Struct, frozen=True, tag=True):
    """The last delta of every successful stream: why it ended, and its usage. `model` is the model that answered, in the
    vendor's words, `system_fingerprint` its version of the server, `service_tier` how it served; empty if it doesn't say.
    `reported` is what else it says of the answer as a whole (`reported.py`), for clients of OpenAI's APIs."""

    reason: FinishReason
    usage: Usage
    model: str = ""
    system_fingerprint: str = ""
    service_tier: str = ""
    reported: dict[str, Any] = {}


class ChoiceDelta(msgspec.Struct, frozen=True, tag=True):
    """A delta of choice number `index`, from 1, where several were asked for (`n`); those of the first come as they are. The
    usage of its `Finished` counts nothing: the answer's has all."""

    index: int
    delta: TextDelta | ReasoningDelta | RefusalDelta | ToolCallDelta | ExtraDelta | Finished


Delta = TextDelta | ReasoningDelta | RefusalDelta | ToolCallDelta | ExtraDelta | Progress | ChoiceDelta | Finished


class ModelInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """A model that a provider offers. `created` is a Unix time, 0 if unknown."""

    provider: str
    name: str
    created: int = 0

    @property
    def id(self) -> str:
        """The full name, `provider/name`."""
        return f"{self.provider}/{self.name}"


@dataclass(frozen=True, slots=True)
class ProviderTimeouts:
    """How long a vendor may be silent, in seconds. Only tokens count as activity, keep-alive comments don't.

    `pull_s` limits the silence while a model is pulled (computing a checksum of many GB takes minutes), `end_mark_s` the
    wait for usage and end mark after the finish reason, `manage_s` a whole management call (list, check; embedding has
    `first_token_s`).
    """

    connect_s: float = 5.0
    first_token_s: float = 60.0
    between_tokens_s: float = 30.0
    pull_s: float = 300.0
    end_mark_s: float = 2.0
    manage_s: float = 10.0


@runtime_checkable
class Provider(Protocol):
    """A model vendor. Methods raise only `ProviderError`s (`errors.py`)."""

    name: str

    def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        """Call the model. Deltas come in order; the last one is `Finished`, or an error is raised.

        Closing the generator (`contextlib.aclosing` does) or cancelling the task that reads it closes the vendor's socket
        at once. A stream that ends without its end mark raises.
        """
        ...

    async def list_models(self) -> list[ModelInfo]:
        """Return the models that can be called now, in the vendor's order."""
        ...

    async def check_key(self) -> None:
        """Return if the vendor is reachable and accepts the key; raise otherwise. Costs no tokens."""
        ...


@dataclass(frozen=True, slots=True)
class Completing:
    """How a vendor goes on with a text. `lists`: it takes several prompts, and tokens, in one call, and gives the choices that
    are asked for. `suffix`: it fills a gap before one. `echo`: it repeats the prompt itself."""

    lists: bool = False
    suffix: bool = False
    echo: bool = False


@runtime_checkable
class Completer(Protocol):
    """A provider that can let a model go on with a text (`ModelRequest.completion`)."""

    def completes(self, model: str) -> Completing | None:
        """Return how this model goes on with a text; None if it only answers messages."""
        ...


@runtime_checkable
class Embedder(Protocol):
    """A provider that also embeds."""

    async def embed(self, texts: Sequence[str], model: str) -> list[list[float]]:
        """Return one vector per text, in order. Without texts, no call is made."""
        ...


Purpose = Literal["query", "passage"]
"""What a text is embedded for: to search with, or to be found."""


@runtime_checkable
class PurposeEmbedder(Embedder, Protocol):
    """An embedder whose vendor must know what for; others have prefixes (`graphs/embeddings/purposes.py`)."""

    async def embed_for(self, texts: Sequence[str], model: str, purpose: Purpose) -> list[list[float]]:
        """As `embed`, for one purpose."""
        ...


@runtime_checkable
class WarmsModels(Protocol):
    """A provider whose models take long to load."""

    async def warm(self, model: str) -> float | None:
        """Load a model before it is asked for. Return the seconds after which to call again; None for never. Raises nothing."""
        ...
