"""`POST /v1/embeddings`: vectors from the local embedding model or a provider's model.

Workers run local models; this process has no weights. A call counts against the tenant's limits as a chat does. Tokens are
estimated, because most engines don't count them.
"""

import asyncio
import base64
from array import array
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

import msgspec
from litestar import Response, Router, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody
from msgspec import Meta

from api.auth.principals import MayChat, Principal
from api.grants.model_access import find_providers, resolve_model
from api.http.bodies.json_body import JsonRequest, field_names
from api.http.bodies.limits import LARGE_BODY
from api.http.errors import PROVIDER_FAILURES, problems
from api.http.headers import ignored_header
from api.jobs.run_at import refuse_run_at
from api.jobs.submit import reserve, uses_own_key
from api.openapi.operations import described
from api.resources import AppResources, Resources
from graphs.embeddings.hosted import normalise
from graphs.embeddings.minilm import DIMENSIONS, MODEL, SPACE
from graphs.embeddings.purposes import can_truncate
from graphs.embeddings.registry import DEFAULT, is_local
from graphs.embeddings.texts import MAX_CHARS
from graphs.providers.openai.provider import OpenAICompatible
from graphs.providers.settings import AUTO
from graphs.providers.tokens import estimate_tokens
from schema.errors import InputError, Unavailable, UnknownModel
from schema.events.base import ModelUsage
from schema.events.notices import OFFLINE_MODEL
from schema.ids import new_id
from schema.queries.tenants.usage import add_call
from workers.embedding.client import MAX_TEXTS, TIMEOUT_S
from workers.embedding.protocol import MAX_QUERY_TEXTS
from workers.limits.reservation import settle_reservation

MAX_TOTAL_CHARS = 1_200_000
"""Most characters of all texts together: OpenAI's 300,000 tokens."""
BATCH_TIMEOUT_S = 30.0
"""Timeout for a batch of a long list: workers embed other callers' texts too."""
LOCAL_MODEL = f"{DEFAULT}/{MODEL}"
LOCAL_MODEL_NAMES = {MODEL, LOCAL_MODEL, DEFAULT, f"sentence-transformers/{MODEL}", SPACE}
"""Names of the local model."""

MAX_TOKENS = 300_000
"""Most tokens of all lists together: OpenAI's limit."""
MAX_TOKENS_OF_ONE = 8192

Text = Annotated[str, Meta(min_length=1, max_length=MAX_CHARS)]
Token = Annotated[int, Meta(ge=0, lt=2**31)]


class EmbeddingIn(msgspec.Struct, frozen=True, kw_only=True):
    """An embeddings request. Fields beyond these are ignored, and named in `X-Headrace-Ignored`."""

    input: Annotated[
        Text
        | Annotated[
            list[Text | Token | Annotated[list[Token], Meta(min_length=1, max_length=MAX_TOKENS_OF_ONE)]],
            Meta(min_length=1, max_length=MAX_TOKENS_OF_ONE),
        ],
        Meta(
            description="A text or a list of texts. Models of OpenAI-compatible providers take tokens as well: a list of "
            "numbers, or a list of such lists."
        ),
    ]
    model: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=200,
            examples=[LOCAL_MODEL],
            description="The local model, a provider's as `provider/name`, or `auto` for the installation's embedder.",
        ),
    ]
    encoding_format: Annotated[
        Literal["float", "base64"] | None, Meta(description="Encoding of the vectors; `float` by default.")
    ] = None
    dimensions: (
        Annotated[
            int, Meta(ge=1, le=65_536, description="Length of the vectors, for models whose vectors can be shortened.")
        ]
        | None
    ) = None
    user: Annotated[str, Meta(max_length=512, description="Ignored, and named in `X-Headrace-Ignored`.")] | None = None


class VectorOut(msgspec.Struct, frozen=True, kw_only=True):
    """The vector of a text."""

    object: Annotated[Literal["embedding"], Meta(description="Always `embedding`.")] = "embedding"
    index: Annotated[int, Meta(description="Position of the text in `input`, from 0.")]
    embedding: Annotated[
        list[float] | str, Meta(description="The vector: numbers, or base64 of little-endian float32.")
    ]


class EmbeddingUsageOut(msgspec.Struct, frozen=True):
    """Token usage."""

    prompt_tokens: Annotated[int, Meta(description="Tokens in the texts, estimated.")]
    total_tokens: Annotated[int, Meta(description="The same.")]


class EmbeddingsOut(msgspec.Struct, frozen=True, kw_only=True):
    """A list of embeddings."""

    object: Annotated[Literal["list"], Meta(description="Always `list`.")] = "list"
    data: Annotated[list[VectorOut], Meta(description="A vector for each text, in the same order.")]
    model: Annotated[str, Meta(description="The model, as it was requested.")]
    usage: Annotated[EmbeddingUsageOut, Meta(description="Token usage.")]


EMBEDDINGS_EXAMPLE: dict[str, Any] = {
    "object": "list",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.0131, -0.0572, 0.0918]}],
    "model": LOCAL_MODEL,
    "usage": {"prompt_tokens": 5, "total_tokens": 5},
}


@post(
    "/",
    status_code=200,
    opt=LARGE_BODY
    | described(example={"model": LOCAL_MODEL, "input": ["What is a headrace?"]}, response=EMBEDDINGS_EXAMPLE),
    responses={
        200: ResponseSpec(EmbeddingsOut, description="A vector for each text.", generate_examples=False),
        **problems("model_unknown", "rate_limit_exceeded", "budget_exceeded", *PROVIDER_FAILURES),
    },
    summary="Create embeddings",
    tags=["openai"],
)
async def create_embeddings(
    data: JSONBody[EmbeddingIn], request: JsonRequest, principal: MayChat, resources: AppResources
) -> Response[EmbeddingsOut]:
    """Compatible with OpenAI's API. Texts are embedded as queries: a model that expects a prefix for queries gets it."""
    refuse_run_at(request.headers)
    texts, lists = _split_input(data.input)
    _require_max_chars(texts)
    model = await _resolve(resources, principal, data.model)
    _check_dimensions(model, data.dimensions)
    tokens = sum(estimate_tokens(len(text)) for text in texts) + sum(map(len, lists))
    async with _reserved(resources, principal, model, tokens):
        if lists:
            embedded = await _embed_tokens(resources, principal, lists, model)
        else:
            embedded = await _embed(resources, principal, texts, model)
    vectors = [_shorten(vector, data.dimensions) for vector in embedded]
    made = EmbeddingsOut(
        data=[VectorOut(index=index, embedding=_encode(vector, data)) for index, vector in enumerate(vectors)],
        model=data.model,
        usage=EmbeddingUsageOut(tokens, tokens),
    )
    unknown = sorted(field_names(await request.body()) - frozenset(EmbeddingIn.__struct_fields__))
    return Response(made, headers=ignored_header([*unknown, *(["user"] if data.user is not None else [])]))


def _split_input(given: str | list[str | int | list[int]]) -> tuple[list[str], list[list[int]]]:
    """Return the texts, or the lists of tokens. Raises InputError for a mixture, and for too many."""
    items = [given] if isinstance(given, str) else given
    texts = [item for item in items if isinstance(item, str)]
    numbers = [item for item in items if isinstance(item, int)]
    lists = [item for item in items if isinstance(item, list)]
    if len(items) not in (len(texts), len(numbers), len(lists)):
        raise InputError("input must be texts, tokens, or lists of tokens, and no mixture of them.", field="input")
    lists = [numbers] if numbers else lists
    if max(len(texts), len(lists)) > MAX_TEXTS:
        raise InputError(f"input has {len(items):,} texts; the maximum is {MAX_TEXTS:,}.", field="input")
    if sum(map(len, lists)) > MAX_TOKENS:
        raise InputError(f"input has more than {MAX_TOKENS:,} tokens. Send several requests.", field="input")
    return texts, lists


async def _embed_tokens(
    resources: Resources, principal: Principal, lists: list[list[int]], model: str
) -> list[list[float]]:
    """Pass tokens on to the provider, whose tokenizer made them. Raises InputError for an embedder that takes none."""
    service, _, name = model.partition("/")
    provider = None if is_local(model) else (await find_providers(resources, principal)).get(service)
    if not isinstance(provider, OpenAICompatible):
        message = f"{model} takes texts only: tokens can't be turned back into text here. Send texts."
        raise InputError(message, field="input")
    limit_s = resources.settings.completion_timeout_s
    try:
        async with asyncio.timeout(limit_s):
            found = await provider.embed(lists, name)
    except TimeoutError as error:
        raise Unavailable(f"The tokens were not embedded within {limit_s:g} s. Send fewer at once.") from error
    return [normalise(vector) or vector for vector in found]


def _require_max_chars(texts: Sequence[str]) -> None:
    chars = sum(map(len, texts))
    if chars > MAX_TOTAL_CHARS:
        message = f"input has {chars:,} characters; the maximum is {MAX_TOTAL_CHARS:,}. Send several requests."
        raise InputError(message, field="input")


async def _resolve(resources: Resources, principal: Principal, model: str) -> str:
    """Return the embedder's name. Raises UnknownModel for one that doesn't exist or isn't granted."""
    default = resources.embedding.default
    model = default if model == AUTO else model
    if model in LOCAL_MODEL_NAMES:
        return DEFAULT
    if model == default and is_local(default):
        return default
    unknown = UnknownModel(
        f"No such embedding model: {model[:80]!r}. Use {LOCAL_MODEL}, auto, or a provider's as provider/name.",
        field="model",
    )
    try:
        name = await resolve_model(resources, principal, model)
    except UnknownModel as error:
        raise unknown from error
    if name == OFFLINE_MODEL:
        raise unknown
    return name


async def _embed(resources: Resources, principal: Principal, texts: Sequence[str], model: str) -> list[list[float]]:
    providers = await find_providers(resources, principal)
    limit_s = resources.settings.completion_timeout_s
    try:
        async with asyncio.timeout(limit_s):
            return await resources.embedding.embed(
                texts,
                embedder=model,
                lane=str(principal.tenant_id),
                timeout_s=TIMEOUT_S if len(texts) <= MAX_QUERY_TEXTS and is_local(model) else BATCH_TIMEOUT_S,
                get_provider=providers.get,
            )
    except TimeoutError as error:
        message = f"The texts were not embedded within {limit_s:g} s. Send fewer texts at once."
        raise Unavailable(message) from error


@asynccontextmanager
async def _reserved(resources: Resources, principal: Principal, model: str, tokens: int) -> AsyncIterator[None]:
    """Reserve a call from the tenant's limits and record its usage; a failed call costs nothing. Raises LimitReached."""
    call_id = new_id()
    verdict = await reserve(resources, principal, call_id, model, (tokens, 0))
    own = tokens if uses_own_key(principal, model) else 0
    used = ModelUsage(model=model, input_tokens=tokens, output_tokens=0, own_key_input_tokens=own)
    try:
        yield
        nanos = await _charge(resources, principal, used)
        async with principal.tx(resources.core.pool) as db:
            await add_call(
                db, principal.tenant_id, user_id=principal.user_id, key_id=principal.key_id, used=used, cost_nanos=nanos
            )
    except BaseException:
        if verdict is not None:
            await settle_reservation(
                resources.limits, principal.tenant_id, call_id, tokens=0, nanos=0, refund_request=True
            )
        raise
    if verdict is not None:
        await settle_reservation(resources.limits, principal.tenant_id, call_id, tokens=tokens, nanos=nanos)


async def _charge(resources: Resources, principal: Principal, used: ModelUsage) -> int:
    """Return what a call cost, in nano-USD: nothing if it was made in our own processes, or its price is unknown."""
    if is_local(used.model):
        return 0
    nanos = (await resources.catalogs.latest()).charge(used)
    if nanos is None:
        resources.catalogs.note_unpriced(used.model, principal.tenant_id)
    return nanos or 0


def _check_dimensions(model: str, dimensions: int | None) -> None:
    """Raise InputError, before anything is spent, if the model's vectors can't have this length."""
    if dimensions is None or can_truncate(model) or (model == DEFAULT and dimensions == DIMENSIONS):
        return
    message = (
        f"The vectors of this model have {DIMENSIONS} dimensions"
        if model == DEFAULT
        else "The vectors of this model cannot be shortened"
    )
    raise InputError(f"{message}. Omit dimensions.", field="dimensions")


def _shorten(vector: list[float], dimensions: int | None) -> list[float]:
    if dimensions is None or dimensions == len(vector):
        return vector
    if dimensions > len(vector):
        raise InputError(
            f"dimensions must not exceed {len(vector)}, the length of this model's vectors.", field="dimensions"
        )
    return normalise(vector[:dimensions]) or vector[:dimensions]


def _encode(vector: list[float], data: EmbeddingIn) -> list[float] | str:
    if data.encoding_format != "base64":
        return vector
    return base64.b64encode(array("f", vector).tobytes()).decode()


routes = Router("/embeddings", route_handlers=[create_embeddings])
