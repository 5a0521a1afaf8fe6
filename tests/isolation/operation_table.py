"""How every operation is called, and what every field of it refers to: the table behind `test_route_matrix.py`.

A new route gets a row in CALLS (or in PUBLIC, if it needs no caller). Each of its fields that holds text or an id stands in
`refers`, with the kind of thing that it names (`two_tenants.py` knows how to make one), or in `plain`.
"""

from tests.api.people import PASSWORD
from tests.isolation import (
    anthropic_fields,
    kept_for_clients,
    measuring_and_scheduling,
    what_admins_ask,
    what_the_console_asks,
)
from tests.isolation.call_shapes import (
    AUDIT,
    AUDIT_PLAIN,
    CALLBACK_PLAIN,
    KEY_PLAIN,
    PERSON,
    USER_PLAIN,
    Call,
    thing,
    word,
)

PUBLIC = {
    "POST /api/hooks/{trigger_id}",
    "POST /api/hooks/{trigger_id}/{secret}",
    "POST /api/auth/login",
    "POST /api/auth/refresh",
    *(f"{method} /api/auth/session" for method in ("POST", "GET", "DELETE")),
    "GET /api/auth/oidc/{tenant}",
    "GET /api/auth/oidc/{tenant}/{provider}",
    "GET /api/auth/oidc/{tenant}/{provider}/callback",
    "GET /",
    "GET /health",
    "GET /health/live",
    "GET /health/ready",
    "GET /.well-known/jwks.json",
    *what_the_console_asks.EMBEDDED,
    "GET /.well-known/acme-challenge/{token}",
}
"""Operations that need no caller."""


SESSION = {"path.session_id": thing("session")}
CHAT = {
    **{"body.session_id": thing("session"), "body.model": word("model"), "body.agent": word("agent")},
    **{"body.collections[]": thing("collection"), "body.attachments[].document_id": thing("document")},
}
CHAT_PLAIN = f"""body.message body.message[].text body.message[].image_url.url body.attachments[].name body.attachments[].data
  body.system body.response_format body.tools[] body.tool_choice body.tool_results[].tool_call_id body.tool_results[].text
  body.metadata {CALLBACK_PLAIN}"""
LATER = {"body.message": "hi", "header.Prefer": "respond-async"}
PROVIDER = {"path.provider_id": thing("provider")}
PROVIDER_PLAIN = "body.audience body.client_id body.client_secret body.jwks_url body.role_claim"
AGENT = {"path.name": thing("agent")}
AGENT_NAMES = {"body.models[]": word("model"), "body.tools[]": word("tool")}
AGENT_PLAIN = "body.description body.examples[] body.prompt body.output_schema body.renderer"
TOOL = {"path.name": thing("tool")}
TOOL_PLAIN = """body.description body.endpoint body.headers body.parameters body.config body.renderer
  body.secrets"""
SOURCE = {"path.name": thing("data source")}
SOURCE_PLAIN = "body.description body.dsn body.tables[] body.ca"
DSN = "postgresql://reader:water@127.0.0.1:9/shop"
PIPELINE = {"path.pipeline": thing("pipeline")}
PIPELINE_PLAIN = "body.name body.description body.start body.steps"
STEPS = {"body.name": "p-{fresh}", "body.start": "a", "body.steps": {"a": {"kind": "prompt", "prompt": "hi"}}}
OFF = {"body.disabled_tools[]": word("tool")}
PERSONA = "body.persona.system_prompt body.persona.traits[] body.persona.style"
DOCUMENT = {"path.document_id": thing("document")}
COLLECTION = {"path.name": thing("collection")}
COLLECTION_PLAIN = "body.description body.embedder"
UPLOAD = {"body.collection": word("collection")}
UPLOAD_PLAIN = "body.files[] body.url[] body.urls[] body.metadata body.name body.callback_url"
SENT = {"file.files": "{fresh}"}
# Files by id within messages: `tests/api/openai/test_files_in_messages.py` asks for another tenant's.
FILES = " ".join(f"body.messages[].content[].file.{name}" for name in ("file_data", "file_id", "filename"))
RESPONSE_FILE = ("file_data", "file_id", "file_url", "filename")
ITEM_FILES = " ".join(f"body.input[].{place}[].{name}" for place in ("content", "output") for name in RESPONSE_FILE)
OPENAI_PLAIN = f"""{FILES} body.messages[].content body.messages[].content[].text body.messages[].content[].refusal
  body.messages[].content[].image_url.url body.messages[].tool_calls[].id body.messages[].tool_calls[].function.name
  body.messages[].tool_calls[].function.arguments body.messages[].tool_call_id body.stop body.stop[] body.tools[]
  body.tool_choice body.response_format body.reasoning_effort body.logit_bias body.modalities[] body.audio body.functions
  body.function_call body.web_search_options body.user body.metadata body.service_tier body.prediction body.verbosity
  body.safety_identifier body.prompt_cache_key body.prompt_cache_retention"""


RESPONSE_PLAIN = f"""{ITEM_FILES}
  body.input body.input[].type body.input[].role body.input[].content body.input[].content[].type
  body.input[].content[].text body.input[].content[].refusal body.input[].content[].image_url
  body.input[].content[].image_url.url body.input[].content[].detail body.input[].call_id body.input[].name
  body.input[].namespace body.input[].arguments body.input[].output body.input[].output[].type body.input[].output[].text
  body.input[].output[].refusal body.input[].output[].image_url body.input[].output[].image_url.url
  body.input[].output[].detail body.input[].encrypted_content body.input[].status body.instructions
  body.include[] body.tools[] body.tool_choice body.text body.reasoning body.metadata body.prompt body.input[].phase
  body.input[].content[].prompt_cache_breakpoint.mode body.input[].content[].prompt_cache_breakpoint.ttl
  body.input[].output[].prompt_cache_breakpoint.mode body.input[].output[].prompt_cache_breakpoint.ttl body.prompt_cache_options
  body.user body.safety_identifier body.prompt_cache_key body.prompt_cache_retention body.service_tier"""

HOOK = {"path.endpoint_id": thing("webhook endpoint")}
HOOK_PLAIN = "body.url body.events[] body.description body.kinds[] body.agents[] body.headers"
NEW_HOOK = {"body.url": "http://127.0.0.1:9/hook", "body.events": ["job.*"]}
DELIVERIES = {"query.endpoint_id": word("webhook endpoint"), "query.job_id": word("ended job")}

CALLS: dict[str, Call] = {
    **measuring_and_scheduling.CALLS,
    **anthropic_fields.CALLS,
    **kept_for_clients.CALLS,
    **what_the_console_asks.CALLS,
    "POST /api/webhooks": Call("webhooks.manage", {}, f"{HOOK_PLAIN} body.secret", NEW_HOOK, 201),
    "GET /api/webhooks": Call("webhooks.manage", plain="query.cursor"),
    "GET /api/webhooks/{endpoint_id}": Call("webhooks.manage", HOOK),
    "PATCH /api/webhooks/{endpoint_id}": Call("webhooks.manage", HOOK, HOOK_PLAIN, {"body.description": "New"}),
    "DELETE /api/webhooks/{endpoint_id}": Call("webhooks.manage", HOOK, gets=204),
    "POST /api/webhooks/{endpoint_id}/test": Call("webhooks.manage", HOOK, gets=202),
    "POST /api/webhooks/{endpoint_id}/rotate-secret": Call("webhooks.manage", HOOK, "body.secret"),
    "GET /api/webhooks/secret": Call("webhooks.manage"),
    "POST /api/webhooks/secret/rotate": Call("webhooks.manage", plain="body.secret"),
    "GET /api/webhooks/deliveries": Call(
        "webhooks.manage", DELIVERIES, "query.type query.cursor query.since query.until"
    ),
    "GET /api/webhooks/deliveries/{delivery_id}": Call("webhooks.manage", {"path.delivery_id": thing("delivery")}),
    "POST /api/webhooks/deliveries/{delivery_id}/redeliver": Call(
        "webhooks.manage", {"path.delivery_id": thing("delivery")}, gets=202
    ),
    "POST /api/webhooks/deliveries/redeliver": Call(
        "webhooks.manage",
        {"body.endpoint_id": thing("webhook endpoint"), "body.job_id": word("ended job")},
        "body.types[]",
        gets=202,
    ),
    "POST /api/chat": Call("chat", CHAT, CHAT_PLAIN, LATER, 202),
    "POST /api/{tenant}/chat": Call("chat", CHAT | {"path.tenant": thing("tenant")}, CHAT_PLAIN, LATER, 202),
    "POST /v1/chat/completions": Call(
        "chat",
        {"body.model": word("model")},
        OPENAI_PLAIN,
        {"body.messages": [{"role": "user", "content": "hi"}]},
        504,  # it is taken, and nobody works here
    ),
    "POST /v1/responses": Call(
        "chat",
        {
            "body.model": word("model"),
            "body.previous_response_id": thing("job as response"),
            "body.input[].id": thing("item of a job"),
            "body.conversation": thing("other conversation"),
            "body.conversation.id": thing("other conversation"),
        },
        RESPONSE_PLAIN,
        {"body.background": True, "body.input[].type": "item_reference"},
    ),
    "POST /v1/responses/input_tokens": Call(
        "chat",
        {
            "body.model": word("model"),
            "body.previous_response_id": thing("job as response"),
            "body.input[].id": thing("item of a job"),
            "body.conversation": thing("other conversation"),
            "body.conversation.id": thing("other conversation"),
        },
        RESPONSE_PLAIN,
        {"body.input[].type": "item_reference"},
    ),
    "GET /api/models": Call("models.read"),
    "GET /api/jobs/{job_id}": Call("jobs.read", {"path.job_id": thing("running job")}),
    "DELETE /api/jobs/{job_id}": Call("jobs.write", {"path.job_id": thing("ended job")}, gets=204),
    "GET /api/jobs/{job_id}/events": Call(
        "jobs.read", {"path.job_id": thing("ended job")}, "query.after header.Last-Event-ID"
    ),
    "GET /api/jobs/{job_id}/trace": Call("jobs.read", {"path.job_id": thing("ended job")}),
    "POST /api/jobs/{job_id}/cancel": Call("jobs.write", {"path.job_id": thing("waiting job")}),
    "POST /api/jobs/{job_id}/retry": Call("jobs.write", {"path.job_id": thing("failed job")}, gets=202),
    "POST /api/jobs/retry": Call("jobs.write", {"body.ids[]": thing("failed job")}, gets=202),
    "GET /api/sessions": Call("sessions.read", {"query.widget": word("widget")}, "query.search query.cursor"),
    "POST /api/sessions": Call("sessions.write", plain="body.title", gets=201),
    "GET /api/sessions/{session_id}": Call("sessions.read", SESSION),
    "DELETE /api/sessions/{session_id}": Call("sessions.write", SESSION, gets=204),
    "PATCH /api/sessions/{session_id}": Call("sessions.write", SESSION, "body.title", {"body.title": "New"}),
    "GET /api/sessions/{session_id}/shared": Call("sessions.read", {"path.session_id": thing("shared session")}),
    "GET /api/sessions/{session_id}/messages": Call("sessions.read", SESSION, "query.cursor"),
    "GET /api/sessions/{session_id}/export": Call("sessions.read", SESSION),
    "POST /api/sessions/{session_id}/fork": Call(
        "sessions.write", SESSION | {"body.message_id": thing("same answer")}, "body.title", gets=201
    ),
    "PUT /api/messages/{message_id}/feedback": Call(
        "sessions.write",
        {"path.message_id": thing("answer"), "body.agent": word("agent")},
        "body.comment",
        {"body.rating": "up"},
    ),
    "GET /api/messages/{message_id}/feedback": Call("sessions.read", {"path.message_id": thing("rated answer")}),
    "DELETE /api/messages/{message_id}/feedback": Call(
        "sessions.write", {"path.message_id": thing("rated answer")}, gets=204
    ),
    "GET /api/memories": Call("self", {"query.cursor": word("place of a memory")}),
    "DELETE /api/memories": Call("self", gets=204),
    # The memory is a fellow's, and those are nobody else's, not even an owner's.
    "DELETE /api/memories/{memory_id}": Call("self", {"path.memory_id": thing("memory")}, gets=404),
    "POST /api/auth/logout": Call("self", gets=204),
    "GET /api/auth/me": Call("self"),
    "GET /api/auth/keys": Call("keys.own", plain="query.cursor"),
    "POST /api/auth/keys": Call("keys.own", plain=KEY_PLAIN, send={"body.name": "k"}, gets=201),
    "GET /api/auth/keys/{key_id}": Call("keys.own", {"path.key_id": thing("key")}),
    "PATCH /api/auth/keys/{key_id}": Call(
        "keys.manage",
        {"path.key_id": thing("key")},
        plain="body.front_end_prompts",
        send={"body.tokens_per_day": 9**9},
    ),
    "DELETE /api/auth/keys/{key_id}": Call("keys.own", {"path.key_id": thing("key")}, gets=204),
    "GET /api/auth/providers": Call("sign_in.manage"),
    "POST /api/auth/providers": Call(
        "sign_in.manage",
        plain=f"body.name body.issuer {PROVIDER_PLAIN}",
        send={"body.name": "idp", "body.issuer": "https://127.0.0.1:9", "body.audience": "x"},
        gets=400,  # it is read, and nobody answers there
    ),
    "GET /api/auth/providers/{provider_id}": Call("sign_in.manage", PROVIDER),
    "PATCH /api/auth/providers/{provider_id}": Call(
        "sign_in.manage", PROVIDER, PROVIDER_PLAIN, {"body.role": "viewer"}
    ),
    "DELETE /api/auth/providers/{provider_id}": Call("sign_in.manage", PROVIDER, gets=204),
    "GET /api/users": Call("users.read", {"query.search": word("email")}, "query.cursor"),
    "POST /api/users": Call("users.manage", {"body.email": word("new email")}, USER_PLAIN, gets=201),
    "GET /api/users/{user_id}": Call("users.read", PERSON),
    "DELETE /api/users/{user_id}": Call("users.manage", PERSON, gets=204),
    "PATCH /api/users/{user_id}": Call("users.manage", PERSON, USER_PLAIN, {"body.name": "New"}),
    "GET /api/users/me/export": Call("self"),
    "GET /api/users/{user_id}/export": Call("privacy.manage", PERSON),
    # The email is somebody else's, so nobody is erased.
    "POST /api/users/me/erase": Call("self", {"body.confirm": word("email")}, gets=400),
    "POST /api/users/{user_id}/erase": Call("privacy.manage", PERSON | {"body.confirm": word("email")}, gets=400),
    "POST /api/users/me/password": Call(
        "self",
        plain="body.current_password body.new_password",
        send={"body.current_password": PASSWORD, "body.new_password": "eight mill wheels"},
        gets=204,
    ),
    "GET /api/api-keys": Call("credentials.read"),
    "POST /api/api-keys": Call(
        "credentials.manage",
        plain="body.service_name body.api_key body.base_url",
        send={"body.service_name": "cohere", "body.api_key": "a1B2" * 10},
        gets=201,
    ),
    "POST /api/api-keys/{service}/test": Call("credentials.manage", {"path.service": thing("service")}),
    "DELETE /api/api-keys/{service}": Call("credentials.manage", {"path.service": thing("service")}, gets=204),
    "GET /api/usage": Call("usage.read"),
    "GET /api/usage/me": Call("self"),
    "GET /api/audit": Call("audit.read", AUDIT, AUDIT_PLAIN),
    "GET /api/tenant": Call("self"),
    "GET /api/tenant/metrics": Call("usage.read"),
    "GET /api/agents": Call("agents.read"),
    "GET /api/admin/agents": Call("agents.manage", {"query.search": word("agent")}, "query.cursor"),
    "POST /api/admin/agents": Call(
        "agents.manage",
        AGENT_NAMES,
        f"body.name {AGENT_PLAIN}",
        {"body.name": "A-{fresh}", "body.description": "Knows."},
        201,
    ),
    "POST /api/admin/agents/reload": Call("agents.manage"),
    "GET /api/admin/agents/{name}": Call("agents.manage", AGENT),
    "PATCH /api/admin/agents/{name}": Call(
        "agents.manage", AGENT | AGENT_NAMES, AGENT_PLAIN, {"body.description": "Knows more."}
    ),
    "DELETE /api/admin/agents/{name}": Call("agents.manage", AGENT, gets=204),
    "PUT /api/admin/agents/{name}/tools": Call("agents.manage", AGENT | {"body.tools[]": word("tool")}),
    "GET /api/admin/tools": Call("tools.manage", {"query.search": word("tool")}, "query.cursor"),
    "POST /api/admin/tools": Call(
        "tools.manage",
        plain=f"body.name {TOOL_PLAIN}",
        send={
            **{"body.name": "t-{fresh}", "body.kind": "HTTP_GET", "body.description": "Asks."},
            "body.endpoint": "http://127.0.0.1:9/x",
        },
        gets=201,
    ),
    "GET /api/admin/tools/{name}": Call("tools.manage", TOOL),
    "PATCH /api/admin/tools/{name}": Call("tools.manage", TOOL, TOOL_PLAIN, {"body.priority": 7}),
    "DELETE /api/admin/tools/{name}": Call("tools.manage", {"path.name": thing("spare tool")}, gets=204),
    "POST /api/admin/tools/{name}/test": Call("tools.manage", TOOL, "body.arguments"),
    "GET /api/admin/data-sources": Call("data_sources.manage", {"query.search": word("data source")}, "query.cursor"),
    "POST /api/admin/data-sources": Call(
        "data_sources.manage",
        plain=f"body.name {SOURCE_PLAIN}",
        send={"body.name": "d-{fresh}", "body.dsn": DSN, "body.tables": ["shop.orders"]},
        gets=201,
    ),
    "GET /api/admin/data-sources/{name}": Call("data_sources.manage", SOURCE),
    "PATCH /api/admin/data-sources/{name}": Call(
        "data_sources.manage", SOURCE, SOURCE_PLAIN, {"body.dsn": DSN, "body.max_rows": 7}
    ),
    "DELETE /api/admin/data-sources/{name}": Call("data_sources.manage", SOURCE, gets=204),
    "POST /api/admin/data-sources/{name}/test": Call("data_sources.manage", SOURCE),
    "GET /api/admin/configuration": Call("configuration.manage"),
    "PUT /api/admin/configuration": Call("configuration.manage", OFF, PERSONA),
    "PATCH /api/admin/configuration": Call("configuration.manage", OFF, PERSONA),
    "PUT /api/admin/configuration/persona": Call(
        "configuration.manage", plain="body.system_prompt body.traits[] body.style", send={"body.style": "Brief."}
    ),
    "GET /api/pipelines": Call("pipelines.read"),
    "POST /api/pipelines": Call("pipelines.manage", plain=PIPELINE_PLAIN, send=STEPS, gets=201),
    "GET /api/pipelines/{pipeline}": Call("pipelines.read", PIPELINE),
    "PUT /api/pipelines/{pipeline}": Call("pipelines.manage", PIPELINE, PIPELINE_PLAIN, STEPS),
    "DELETE /api/pipelines/{pipeline}": Call("pipelines.manage", PIPELINE, gets=204),
    "GET /api/pipelines/{pipeline}/versions": Call("pipelines.read", PIPELINE, "query.cursor"),
    "GET /api/pipelines/{pipeline}/topology": Call("pipelines.read", PIPELINE),
    # An agent belongs to built-in pipelines only; `tests/api/pipelines/test_pipelines.py` asks for a stranger's.
    "POST /api/pipelines/{pipeline}/execute": Call(
        "pipelines.run",
        PIPELINE | {"body.session_id": thing("session"), "body.model": word("model")},
        f"body.input body.agent {CALLBACK_PLAIN}",
        {"body.input": "hi", "header.Prefer": "respond-async"},
        202,
    ),
    "POST /api/documents": Call("documents.write", UPLOAD, UPLOAD_PLAIN, SENT, 202),
    "POST /api/search": Call(
        "documents.read",
        {"body.collections[]": thing("collection"), "body.documents[]": thing("document")},
        "body.query body.filters.language body.filters.metadata",
        {"body.query": "hi"},
    ),
    "POST /api/upload": Call("documents.write", UPLOAD, UPLOAD_PLAIN, SENT, 202),
    "POST /api/files/upload": Call("documents.write", UPLOAD, UPLOAD_PLAIN, SENT, 202),
    "POST /api/admin/knowledge/upload": Call("documents.manage", UPLOAD, UPLOAD_PLAIN, SENT, 202),
    "GET /api/documents": Call(
        "documents.read",
        {
            "query.collection": word("collection"),
            "query.search": word("document name"),
            "query.job_id": word("ended job"),
        },
        "query.cursor",
    ),
    "GET /api/documents/{document_id}": Call("documents.read", DOCUMENT),
    "PATCH /api/documents/{document_id}": Call(
        "documents.write", DOCUMENT, "body.title body.metadata", {"body.title": "New"}
    ),
    "DELETE /api/documents/{document_id}": Call("documents.write", DOCUMENT, gets=204),
    "GET /api/documents/{document_id}/chunks": Call("documents.read", DOCUMENT, "query.cursor"),
    # It is found, and nothing is stored here.
    "GET /api/documents/{document_id}/content": Call("documents.read", DOCUMENT, gets=404),
    "POST /api/documents/{document_id}/cancel": Call("documents.write", DOCUMENT),
    "POST /api/documents/{document_id}/retry": Call(
        "documents.write", {"path.document_id": thing("failed document")}, gets=202
    ),
    "POST /api/documents/retry": Call(
        "documents.write",
        {"body.ids[]": thing("failed document"), "body.collection": word("other collection")},
        gets=202,
    ),
    "POST /api/documents/delete": Call(
        "documents.write",
        {"body.ids[]": thing("document"), "body.collection": word("other collection")},
        "body.search",
    ),
    "GET /api/collections": Call("documents.read", plain="query.cursor"),
    "POST /api/collections": Call(
        "documents.manage", plain=f"body.name {COLLECTION_PLAIN}", send={"body.name": "c-{fresh}"}, gets=201
    ),
    "GET /api/collections/{name}": Call("documents.read", COLLECTION),
    "PATCH /api/collections/{name}": Call(
        "documents.manage", COLLECTION, COLLECTION_PLAIN, {"body.description": "New"}
    ),
    "DELETE /api/collections/{name}": Call("documents.manage", COLLECTION, gets=204),
    "POST /api/collections/{name}/reingest": Call("documents.manage", COLLECTION, gets=202),
    "GET /api/admin/knowledge": Call("documents.manage"),
    "GET /api/admin/knowledge/collections": Call("documents.manage", plain="query.cursor"),
    **what_admins_ask.CALLS,
}
