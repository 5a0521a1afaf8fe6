"""What each error code means, with an example of its message: the source of the error examples in the OpenAPI document.

The status of a code is decided in `api/http/errors.py`.
"""

from typing import NamedTuple


class ErrorDoc(NamedTuple):
    """When an error occurs, in a few words, and an example of its `detail`."""

    when: str
    detail: str
    field: str | None = None


CATALOG: dict[str, ErrorDoc] = {
    "invalid_input": ErrorDoc("A parameter or a field is invalid", "limit must be at most 100.", "limit"),
    "model_unknown": ErrorDoc(
        "No such model, or it is not granted to the tenant",
        "No such model: 'ollama/llama9'. GET /v1/models lists the models you can use.",
        "model",
    ),
    "agent_unknown": ErrorDoc(
        "No such agent, or it is not granted to the tenant",
        "No such agent: 'clerk'. Agents you can use: analyst, librarian. Omit agent to have one selected.",
        "agent",
    ),
    "thread_unsupported_request": ErrorDoc(
        "Conversations of Anthropic's API are not kept here",
        "thread: conversations are not kept here. Omit it, and send all messages.",
        "thread",
    ),
    "provider_refused": ErrorDoc(
        "The model provider rejected the request", "openai refused the request: this model does not take images."
    ),
    "context_length_exceeded": ErrorDoc(
        "The conversation is too long for the model",
        "openai refused the request (400): This model's maximum context length is 8192 tokens. Shorten the conversation, or "
        "choose a model that reads more.",
    ),
    "provider_tools_unsupported": ErrorDoc(
        "The model cannot call tools", "The model ollama/gemma3:1b cannot call tools. Choose another model."
    ),
    "egress_refused": ErrorDoc(
        "The address may not be called from here",
        "intranet.example may not be called: it is not a public address, or resolves to one that isn't. If this is intended, "
        "the operator of this installation can allow the host in HEADRACE_EGRESS_ALLOW, and a platform admin can grant it to "
        "your tenant.",
    ),
    "unauthenticated": ErrorDoc(
        "No valid API key or token was sent",
        "An API key or access token is required. Send `Authorization: Bearer hr_…` (or `X-API-Key: hr_…`) with a key of your "
        "tenant, or `Authorization: Bearer` with an access token from POST /api/auth/login.",
    ),
    "forbidden": ErrorDoc(
        "The caller lacks the right", "This requires the right 'users.manage'; your role (member) does not include it."
    ),
    "tls_required": ErrorDoc(
        "A key or password was sent over plain HTTP to an address that is served over TLS alone",
        "This address is served over TLS alone. Use https://chat.example.com:8443, and replace the key or password that was "
        "just sent unencrypted.",
    ),
    "tenant_suspended": ErrorDoc(
        "The tenant is suspended",
        "This tenant is suspended. Its data is kept. Contact the operator of this installation.",
    ),
    "not_found": ErrorDoc("No such resource for this tenant", "No such job."),
    "conflict": ErrorDoc(
        "The current state does not allow it",
        "Only a job that has ended can be deleted; cancel it first. This job is running.",
    ),
    "session_busy": ErrorDoc(
        "The session is answering another message (`on_busy` is `reject`)",
        "The session has a job that has not finished. Wait for it, or set on_busy to queue, interrupt or rollback.",
    ),
    "cancelled": ErrorDoc("The job was cancelled while the request waited for it", "The job was cancelled."),
    "storage_full": ErrorDoc(
        "The tenant's storage is full",
        "Your tenant's storage is full. Delete documents, or ask an admin to raise the limit.",
    ),
    "idempotency_key_reused": ErrorDoc(
        "The `Idempotency-Key` was used with another body",
        "This Idempotency-Key was used with a different body. Use a new key for a new request.",
    ),
    "credential_refused": ErrorDoc(
        "The service rejected the key", "openai does not accept this key, so it was not stored.", "api_key"
    ),
    "secrets_required": ErrorDoc(
        "The address has changed, so stored secrets must be sent again",
        "endpoint now leads to https://other.example.com, so the stored secrets are not kept. Send ERP_KEY in secrets again.",
        "secrets",
    ),
    "fields_missing": ErrorDoc(
        "The body of a call lacks what the trigger's job needs",
        "The body lacks $.issue.title, which the trigger's job needs.",
        "$.issue.title",
    ),
    "batch_invalid": ErrorDoc(
        "The file of a batch is not valid",
        "The input file is not valid. Line 3: custom_id is required.",
    ),
    "nothing_ingested": ErrorDoc(
        "None of the files could be read", "None of the files could be made searchable: report.pdf is encrypted."
    ),
    "queue_full": ErrorDoc(
        "Too many jobs of the tenant are waiting",
        "Too many jobs of this tenant are waiting. Retry when some have finished.",
    ),
    "rate_limit_exceeded": ErrorDoc(
        "A rate limit is reached",
        "This tenant's rate limit is reached (requests per minute). Retry after 12 s. The RateLimit header shows what is "
        "left.",
    ),
    "budget_exceeded": ErrorDoc(
        "A budget of the tenant, the key or the user is spent",
        "This API key's budget of $5.00 a day is used up. It renews at 00:00 UTC, or an owner can raise it.",
    ),
    "provider_rate_limited": ErrorDoc(
        "The model provider's rate limit is reached", "openai takes no more requests now (429). Try again in 20 s."
    ),
    "provider_failed": ErrorDoc("The model provider failed", "openai failed (500): the server had an error."),
    "provider_unreachable": ErrorDoc("The model provider can't be reached", "openai did not accept a connection."),
    "provider_cut": ErrorDoc(
        "The model provider's answer has no end", "openai ended the stream in the middle of its answer."
    ),
    "provider_said_nothing": ErrorDoc(
        "The model answered with neither words nor calls", "openai ended an answer that has no content."
    ),
    "provider_garbage": ErrorDoc("The model provider does not keep its protocol", "openai sent what is no JSON."),
    "provider_rejected_key": ErrorDoc("The model provider rejected the key", "openai rejected the key (401)."),
    "provider_spent": ErrorDoc(
        "The account at the model provider has no credit",
        "openai: You exceeded your current quota. Check plan and billing.",
    ),
    "provider_elsewhere": ErrorDoc(
        "The model provider's base URL is wrong", "openai answered 404: its protocol is not served at this base URL."
    ),
    "provider_is_headrace": ErrorDoc(
        "The model provider's base URL is headrace's own", "openai's base URL is headrace itself; a call would loop."
    ),
    "provider_address_refused": ErrorDoc(
        "The model provider's address may not be called", "10.0.0.7 may not be called: it is not a public address."
    ),
    "provider_unknown": ErrorDoc("The model provider is not configured", "There is no provider 'opnai'."),
    "egress_failed": ErrorDoc("An address could not be fetched", "files.example did not answer."),
    "egress_too_large": ErrorDoc(
        "A fetched file is too large", "files.example sent more than the 100 MB that a file may have."
    ),
    "worker_lost": ErrorDoc(
        "The worker running the job was lost", "The job lost its worker in each of its tries and will not be retried."
    ),
    "step_failed": ErrorDoc("A step of the pipeline failed", "The step 'summarise' failed: it has no input."),
    "unavailable": ErrorDoc(
        "A store is unavailable; nothing was accepted",
        "The database does not answer. Nothing was accepted; try again shortly.",
    ),
    "server_stopping": ErrorDoc(
        "This API process was stopped while the request waited; its job, if it has one, goes on",
        "This server is being restarted, and the job goes on: GET /api/jobs/019a5c9e-6f0a-7c11-9f53-0c9d2f6f6b1e has its "
        "answer when it has ended. The same request with the same Idempotency-Key waits for the same job.",
    ),
    "provider_overloaded": ErrorDoc(
        "The model provider is overloaded", "anthropic is overloaded (529). Try again shortly."
    ),
    "provider_resting": ErrorDoc(
        "The model provider failed repeatedly and is not called for now",
        "openai failed too often and is paused; retry in 30 s.",
    ),
    "deadline_passed": ErrorDoc("The job did not end before its deadline", "The job did not end before its deadline."),
    "provider_timeout": ErrorDoc("The model provider did not answer in time", "openai sent no token within 60 s."),
    "provider_stalled": ErrorDoc(
        "The model provider's answer stopped midway", "openai fell silent in the middle of its answer."
    ),
    "timeout": ErrorDoc("It took too long", "This took too long and was stopped."),
    "request_timeout": ErrorDoc(
        "The request did not arrive in time",
        "The request did not arrive in time. Send its headers within a few seconds, and its body without long pauses.",
    ),
    "headers_too_large": ErrorDoc(
        "The headers are too large", "The headers exceed 64 KB, or are more than 200. Send fewer or shorter ones."
    ),
    "malformed_request": ErrorDoc(
        "The bytes are no HTTP request", "This is not a valid HTTP/1.1 request. Use a client that speaks HTTP."
    ),
    "body_too_large": ErrorDoc(
        "The body is too large",
        "The body exceeds 8,388,608 bytes, the limit of this installation (HEADRACE_MAX_BODY). Send less at once.",
    ),
    "unsupported_media_type": ErrorDoc(
        "The media type is not supported", "The body must be JSON: send Content-Type: application/json."
    ),
    "files_refused": ErrorDoc(
        "None of the files was accepted", "None of the 3 files was accepted. See errors for each of them."
    ),
    "too_large": ErrorDoc(
        "The file is too large", "The file is larger than the 50 MiB that one may have; split it up."
    ),
    "empty": ErrorDoc("The file is empty", "The file is empty."),
    "damaged": ErrorDoc("The file is damaged", "The PDF is damaged or was cut off; export it again and upload that."),
    "encrypted": ErrorDoc(
        "The file needs a password", "The file is protected with a password; remove it and upload again."
    ),
    "unsupported": ErrorDoc("The type of the file is not read", "This is a program, not a document."),
    "mislabelled": ErrorDoc(
        "The file is not of the type that its name says", "The name ends in .pdf, but that is not what the file is."
    ),
    "bomb": ErrorDoc("The file unpacks to far more than it is", "The file unpacks to more than 512 MiB; split it up."),
    "no_text": ErrorDoc("The file contains only images without text", "No text was found in the image."),
    "took_too_long": ErrorDoc(
        "Reading the file takes longer than allowed", "Reading the file took longer than 60 seconds; split it up."
    ),
    "needs_too_much": ErrorDoc(
        "Reading the file needs more memory than allowed",
        "Reading the file needs more memory than allowed; split it up.",
    ),
    "duplicate_name": ErrorDoc(
        "Two files of the upload have the same name",
        "Two files of this upload have this name; only the first is taken. Rename the other and send it again.",
    ),
    "not_yours": ErrorDoc(
        "A document of this name belongs to somebody else",
        "A document of this name is somebody else's, and you cannot see it. Choose another name.",
    ),
    "internal": ErrorDoc(
        "A fault of this server",
        "Something went wrong here, not with your request. It is logged under the request id; try again.",
    ),
}
