"""`POST /v1/completions`: a text to go on with, as editors and older clients ask. Models that can do that are asked so; to
others it is a message of the user. A client that closes the connection cancels the job, as with OpenAI."""

from dataclasses import dataclass
from typing import Any

import msgspec
from litestar import Response, Router, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody

from api.auth.principals import MayChat, Principal
from api.chat.model_options import in_order
from api.chat.response_modes import JOB_ERRORS
from api.grants.model_access import AGENT, Target, find_providers, ignored_by_model, resolve_model, resolve_target
from api.http.bodies.json_body import JsonRequest
from api.http.bodies.limits import LARGE_BODY
from api.http.cost_header import COST_HEADER
from api.http.errors import problems
from api.http.headers import ignored_header, read_idempotency
from api.http.sse import EVENT_STREAM, EventStream
from api.jobs.run_at import refuse_run_at
from api.jobs.submit import RESERVED_OUTPUT_TOKENS, submit_and_follow, submitter
from api.jobs.waiting_client import WaitingClient
from api.openai.completions import require_choices
from api.openai.extras import read_extras
from api.openai.ignored import ignored_stream_options
from api.openai.non_streaming import collect_completion
from api.openai.schemas import wants_usage
from api.openai.stream import ChunkStream
from api.openai.text_chunks import TEXT_EXAMPLE, TextChunks, TextCompletionOut, text_completion_out
from api.openai.text_schemas import TextCompletionIn, check_completing, check_prompt, text_options
from api.openapi.headers import JOB_RESPONSE_HEADERS
from api.openapi.operations import TEXT_CHUNKS, described
from api.resources import AppResources, Resources
from api.webhooks.callbacks import CALLBACK_HEADERS, read_callback
from graphs.providers.completions import how_completes
from graphs.providers.contract import Completing
from graphs.providers.tokens import estimate_tokens
from schema.errors import InputError
from schema.ids import new_id
from schema.job_kinds import INTERACTIVE, KINDS
from schema.queries.jobs.submissions import Submission

ROUTE = "POST /v1/completions"
AS_MESSAGE = "prompt (sent as a message of the user)"
NOT_OF_AGENTS = ("echo", "logprobs", "best_of")
"""Parameters that are no concern of an agent's."""


@dataclass(frozen=True)
class CompletionCall:
    """What a request becomes: what answers, how its model goes on with texts (None: it answers a message), and the options, of
    which some are `unused`."""

    target: Target
    how: Completing | None
    options: dict[str, Any]
    unused: list[str]

    @property
    def model(self) -> str:
        return self.target.model

    def ignored(self, data: TextCompletionIn) -> list[str]:
        """Return the names of what has no effect, and that a message is asked where that is so."""
        names = list(self.unused)
        if self.target.agent is not None:
            names += [name for name in NOT_OF_AGENTS if getattr(data, name) is not None]
        elif self.how is None and data.best_of is not None:
            names.append("best_of")
        return [*([AS_MESSAGE] if self.how is None else ()), *sorted(set(names))]


@post(
    "/completions",
    status_code=200,
    opt=LARGE_BODY
    | described(
        example={"model": "ollama/codellama:7b-code", "prompt": "def add(a, b):\n", "suffix": "\n\nprint(add(1, 2))"},
        response=TEXT_EXAMPLE,
        other_media_types={EVENT_STREAM: TEXT_CHUNKS},
        request_headers=("Idempotency-Key", *CALLBACK_HEADERS),
        response_headers={**JOB_RESPONSE_HEADERS, 200: (*JOB_RESPONSE_HEADERS[200], "X-Headrace-Ignored", COST_HEADER)},
    ),
    responses={
        200: ResponseSpec(
            TextCompletionOut, description="The completion, or chunks of it with `stream`.", generate_examples=False
        ),
        **problems(*JOB_ERRORS),
    },
    summary="Create a completion of a text",
    tags=["openai"],
)
async def create_completion(
    data: JSONBody[TextCompletionIn], request: JsonRequest, principal: MayChat, resources: AppResources
) -> Response[Any]:
    """Compatible with OpenAI's API. A model whose provider only answers messages gets the prompt as one, and
    `X-Headrace-Ignored` says so. Closing the connection cancels the job. Parameters beyond OpenAI's are passed on to the
    provider."""
    refuse_run_at(request.headers, "is not for completions of texts, which are answered at once.")
    extras = read_extras(await request.body(), TextCompletionIn)
    asked = await _ask(data, extras, principal, resources)
    submission = await _build_submission(data, extras, asked, request, principal, resources)
    accepted = await submit_and_follow(
        resources,
        principal,
        submission,
        input_tokens=sum(estimate_tokens(len(one)) if isinstance(one, str) else len(one) for one in data.prompts),
        max_tokens=(data.max_tokens or RESERVED_OUTPUT_TOKENS) * data.choices,
    )
    client = WaitingClient(request, resources, principal.tenant_id, accepted)
    ignored = [*asked.ignored(data), *ignored_stream_options(await request.body(), data.stream_options)]
    headers = client.headers | ignored_header(ignored)
    respond = _stream if data.stream else _complete
    return await client.serve(respond(client, data, asked.model, headers))


async def _ask(
    data: TextCompletionIn, extras: dict[str, Any], principal: Principal, resources: Resources
) -> CompletionCall:
    """Decide what answers, and how. Raises InputError for what can't be honoured."""
    check_prompt(data)
    if data.model.startswith(AGENT):
        target = await resolve_target(resources, principal, data.model, None)
        options = _agent_options(data, extras, target)
        return CompletionCall(
            target, None, options, await ignored_by_model(resources, principal, target.model, options)
        )
    target = Target(await resolve_model(resources, principal, data.model), model_requested=True)
    provider, _, model = target.model.partition("/")
    how = how_completes((await find_providers(resources, principal)).get(provider), model)
    check_completing(data, provider, how)
    if (data.n or 1) > 1 and not (how and how.lists):
        require_choices(target)
    options = text_options(data, extras, how)
    return CompletionCall(target, how, options, await ignored_by_model(resources, principal, target.model, options))


def _agent_options(data: TextCompletionIn, extras: dict[str, Any], target: Target) -> dict[str, Any]:
    """Return an agent's options. Raises InputError for more than one prompt or choice, and for a gap."""
    if data.choices > 1:
        message = "An agent gives one answer to one prompt. Send each prompt in a request of its own, and omit n."
        raise InputError(message, field="n" if (data.n or 1) > 1 else "prompt")
    check_completing(data, f"agent {target.agent}", None)
    options = text_options(msgspec.structs.replace(data, logprobs=None), extras, None)
    return {name: value for name, value in options.items() if name != "completion"}


async def _build_submission(
    data: TextCompletionIn,
    extras: dict[str, Any],
    asked: CompletionCall,
    request: JsonRequest,
    principal: Principal,
    resources: Resources,
) -> Submission:
    job_id = new_id()
    texts = [one if isinstance(one, str) else "" for one in data.prompts]
    return Submission(
        tenant_id=principal.tenant_id,
        job_id=job_id,
        kind=KINDS["chat"],
        payload={
            "messages": [{"role": "user", "content": text} for text in texts],
            "options": in_order(asked.options),
            "asked_model": asked.target.model_requested,
            INTERACTIVE: True,
        },
        model=asked.model,
        agent=asked.target.agent,
        idempotency=read_idempotency(request.headers, ROUTE, [data, extras], visible_user_id=principal.visible_user_id),
        request_id=request.request_id,
        callback=await read_callback(resources, principal, request.headers),
        submitted_by=submitter(resources, principal, job_id, for_tools=asked.target.agent is not None),
    )


async def _complete(
    client: WaitingClient, data: TextCompletionIn, model: str, headers: dict[str, str]
) -> Response[Any]:
    follower, logprobs = client.accepted.follower, data.logprobs is not None
    whole = collect_completion(follower, model, logprobs=logprobs, build=text_completion_out)
    answer = await client.wait_for(whole, "Use stream for long ones.", what="completion")
    return Response(answer.body, status_code=200, headers=headers | answer.headers)


async def _stream(client: WaitingClient, data: TextCompletionIn, model: str, headers: dict[str, str]) -> Response[Any]:
    follower, usage = client.accepted.follower, wants_usage(data.stream_options)
    stream = ChunkStream(follower, TextChunks(follower.job_id, model, include_usage=usage), include_usage=usage)
    return EventStream(await client.hold(stream), shutdown=None, headers=headers)


routes = Router("/", route_handlers=[create_completion])
