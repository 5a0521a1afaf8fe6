"""The names of spans' attributes, and values that conventions prescribe.

Those that begin with `gen_ai.` are from OpenTelemetry's conventions for generative AI, release v0.1.0 of
https://github.com/open-telemetry/semantic-conventions-genai. The constants of Python's package for them are deprecated, so they
are spelled out here, and nowhere else.
"""

# -- requests and errors (https://opentelemetry.io/docs/specs/semconv/http/)
HTTP_METHOD = "http.request.method"
HTTP_ROUTE = "http.route"
HTTP_STATUS = "http.response.status_code"
ERROR_TYPE = "error.type"

# -- models, agents, tools
OPERATION = "gen_ai.operation.name"
CHAT, COMPLETION, EMBEDDINGS = "chat", "text_completion", "embeddings"
RETRIEVAL, EXECUTE_TOOL, INVOKE_AGENT, INVOKE_WORKFLOW = "retrieval", "execute_tool", "invoke_agent", "invoke_workflow"
PROVIDER = "gen_ai.provider.name"
CONVERSATION = "gen_ai.conversation.id"
AGENT = "gen_ai.agent.name"
OUTPUT_TYPE = "gen_ai.output.type"

REQUEST_MODEL = "gen_ai.request.model"
REQUEST_STREAM = "gen_ai.request.stream"
REQUEST_CHOICES = "gen_ai.request.choice.count"
REQUEST_SEED = "gen_ai.request.seed"
REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens"
REQUEST_TEMPERATURE = "gen_ai.request.temperature"
REQUEST_TOP_P = "gen_ai.request.top_p"
REQUEST_STOP = "gen_ai.request.stop_sequences"

RESPONSE_MODEL = "gen_ai.response.model"
RESPONSE_FINISH = "gen_ai.response.finish_reasons"
RESPONSE_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE_TOKENS = "gen_ai.usage.cache_write.input_tokens"
REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens"

TOOL_NAME = "gen_ai.tool.name"
TOOL_TYPE = "gen_ai.tool.type"
TOOL_CALL_ID = "gen_ai.tool.call.id"
TOP_K = "gen_ai.retrieval.top_k"

# -- what people and models said: only where OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT says so
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
TOOL_ARGUMENTS = "gen_ai.tool.call.arguments"
TOOL_RESULT = "gen_ai.tool.call.result"
QUERY_TEXT = "gen_ai.retrieval.query.text"

# -- viewers group by these
SESSION = "session.id"
USER = "user.id"

# -- our own
TENANT = "headrace.tenant.id"
REQUEST_ID = "headrace.request.id"
JOB = "headrace.job.id"
JOB_KIND = "headrace.job.kind"
JOB_STATE = "headrace.job.state"
ATTEMPT = "headrace.job.attempt"
WAITED_S = "headrace.job.wait_s"
NODE = "headrace.graph.node"
LOST = "headrace.lost"
TEXTS = "headrace.embedding.texts"
MODE = "headrace.retrieval.mode"
PASSAGES = "headrace.retrieval.passages"
DELIVERY = "headrace.delivery.id"
DELIVERY_ATTEMPT = "headrace.delivery.attempt"
EVENT = "headrace.event.type"
DOCUMENT = "headrace.document.id"

PROVIDERS = {
    "google": "gcp.gemini",
    "azure": "azure.ai.openai",
    "mistral": "mistral_ai",
    "xai": "x_ai",
}
"""The conventions' names of providers that we call otherwise."""


def provider_name(name: str) -> str:
    """Return the conventions' name of a provider."""
    return PROVIDERS.get(name, name)
