"""The request of `POST /v1/completions`, and what the model is called with. Parameters beyond OpenAI's are passed on
(`extras.py`)."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from api.chat.model_options import Temperature
from api.openai.schemas import (
    FOR_VENDOR,
    JSON_FOR_VENDOR,
    MAX_TEXT,
    FrequencyPenalty,
    PresencePenalty,
    Seed,
    Stops,
    StreamOptionsIn,
    Word,
)
from graphs.providers.contract import Completing
from schema.errors import InputError

MAX_CHOICES = 128
"""Choices of all prompts together."""
MAX_PROMPT_TOKENS = 2_000_000
MAX_TOP_LOGPROBS = 20
"""Most that chats have."""

Token = Annotated[int, Meta(ge=0, lt=2**31)]
Prompt = Annotated[str, Meta(max_length=MAX_TEXT)]


class TextCompletionIn(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A text to go on with. Parameters beyond these are passed on to the provider."""

    model: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=200,
            examples=["ollama/codellama:7b-code"],
            description="`provider/name`, a bare name of the default provider, `agent/NAME`, or `auto` for the default model.",
        ),
    ]
    prompt: Annotated[
        Prompt
        | Annotated[
            list[Prompt | Token | Annotated[list[Token], Meta(min_length=1, max_length=MAX_PROMPT_TOKENS)]],
            Meta(min_length=1, max_length=MAX_PROMPT_TOKENS),
        ],
        Meta(
            description="A text, or a list of texts. Models of OpenAI's protocol that go on with texts themselves take tokens "
            "as well: a list of numbers, or a list of such lists."
        ),
    ]
    suffix: Annotated[
        Prompt | None, Meta(description="What comes after the text that is to be written, for models that fill gaps.")
    ] = None
    stream: Annotated[bool | None, Meta(description="Stream the text as Server-Sent Events.")] = None
    stream_options: Annotated[StreamOptionsIn | None, Meta(description="Options of the stream.")] = None
    echo: Annotated[bool | None, Meta(description="Repeat the prompt before the text.")] = None
    n: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=MAX_CHOICES,
                description="Number of choices for each prompt; of all prompts together at most 128. More than 1 needs a "
                "provider that has it.",
            ),
        ]
        | None
    ) = None
    best_of: Annotated[int, Meta(ge=1, le=128, description="Passed on to the provider.")] | None = None
    logprobs: (
        Annotated[int, Meta(ge=0, le=1000, description="How many of the most likely tokens to return at each place.")]
        | None
    ) = None
    max_tokens: Annotated[int, Meta(ge=0, le=2**31 - 1, description="Maximum number of tokens to generate.")] | None = (
        None
    )
    temperature: Temperature | None = None
    top_p: Annotated[float, Meta(ge=0, le=1, description="Probability mass for nucleus sampling.")] | None = None
    stop: Stops = None
    seed: Seed | None = None
    presence_penalty: PresencePenalty | None = None
    frequency_penalty: FrequencyPenalty | None = None
    logit_bias: Annotated[dict[str, int | float] | None, JSON_FOR_VENDOR] = None
    user: Annotated[Word | None, FOR_VENDOR] = None

    @property
    def prompts(self) -> list[Any]:
        """The prompts, each a text or its tokens."""
        return [self.prompt] if isinstance(self.prompt, str) or isinstance(self.prompt[0], int) else list(self.prompt)

    @property
    def choices(self) -> int:
        """How many choices are asked for."""
        return len(self.prompts) * (self.n or 1)


SAMPLING = ("temperature", "top_p", "max_tokens", "seed", "presence_penalty", "frequency_penalty")
FOR_VENDORS = ("logit_bias", "user")


def check_prompt(request: TextCompletionIn) -> None:
    """Raise InputError for a prompt that is neither texts nor tokens, for no text at all, and for too many choices."""
    if isinstance(request.prompt, list) and len({type(one) for one in request.prompt}) > 1:
        message = "prompt must be a text, a list of texts, a list of tokens, or a list of such lists: one of them."
        raise InputError(message, field="prompt")
    if request.choices > MAX_CHOICES:
        message = f"n for each prompt makes {request.choices:,} choices; at most {MAX_CHOICES} are given."
        raise InputError(message, field="n")


def check_completing(request: TextCompletionIn, provider: str, how: Completing | None) -> None:
    """Raise InputError for what a model can't be asked for. `how` it goes on with texts, if it does."""
    if not all(isinstance(one, str) for one in request.prompts) and not (how and how.lists):
        message = (
            f"{provider} takes texts, no tokens: only its models know what they stand for. Send the text as prompt."
        )
        raise InputError(message, field="prompt")
    if request.suffix and not (how and how.suffix):
        why = "answers messages and can't fill a gap" if how is None else "goes on with texts and can't fill a gap"
        message = f"This model of {provider} {why}, so suffix can't be honoured. Omit it, or name a model that can."
        raise InputError(message, field="suffix")


def text_options(request: TextCompletionIn, extras: dict[str, Any], how: Completing | None) -> dict[str, Any]:
    """Return what the model is called with, only what was given: the text to go on with, or for one that only answers messages
    what a chat has in its place."""
    options: dict[str, Any] = {name: value for name in SAMPLING if (value := getattr(request, name)) is not None}
    if request.stop:
        options["stop"] = [request.stop] if isinstance(request.stop, str) else request.stop
    told = {name: value for name in FOR_VENDORS if (value := getattr(request, name)) is not None}
    told |= {"n": request.n} if (request.n or 1) > 1 else {}
    if request.logprobs is not None:
        told |= {"logprobs": request.logprobs} if how is not None else _chat_logprobs(request.logprobs)
    if request.best_of is not None and how is not None:
        told["best_of"] = request.best_of
    if extra := told | extras:
        options["extra"] = extra
    asked = {"prompt": request.prompt, "suffix": request.suffix, "echo": request.echo}
    options["completion"] = {name: value for name, value in asked.items() if value is not None}
    return options


def _chat_logprobs(count: int) -> dict[str, Any]:
    return {"logprobs": True, **({"top_logprobs": min(count, MAX_TOP_LOGPROBS)} if count else {})}
