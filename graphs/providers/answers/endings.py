"""Why an answer ended, in the words of all vendors. What isn't known to be an end is a cut: it is never taken for "stop"."""

from graphs.providers.contract import FinishReason
from graphs.providers.errors import ProviderStreamCut, safe_excerpt

_STOP = "stop end eos eos_token end_turn end_of_turn stop_sequence stop_token complete completed done success"
_LENGTH = (
    "length max_tokens max_output_tokens max_new_tokens max_completion_tokens max_length model_length token_limit length_limit "
    "context_length context_window model_context_window_exceeded finish_reason_max_tokens truncated"
)
_TOOL_CALLS = "tool_calls tool_call tool_use function_call function_calls tools tool"
_CONTENT_FILTER = (
    "content_filter content_filtered content-filter safety recitation blocklist prohibited_content spii language image_safety "
    "refusal sensitive guardrail_intervened guardrails moderation model_armor escalation image_prohibited_content "
    "image_recitation error_toxic"
)
REASONS: dict[str, FinishReason] = {
    **dict.fromkeys(_STOP.split(), "stop"),
    **dict.fromkeys(_LENGTH.split(), "length"),
    **dict.fromkeys(_TOOL_CALLS.split(), "tool_calls"),
    **dict.fromkeys(_CONTENT_FILTER.split(), "content_filter"),
}
"""By the word in lower case. `sensitive` is Zhipu's, `model_length` Mistral's, `eos` of text-generation-inference; Google's and
Cohere's are in capitals there. The others, such as `abort`, `network_error`, `insufficient_system_resource` (DeepSeek) and
Ollama's `unload`, mean that the server broke off."""


def read_reason(said: str) -> FinishReason | None:
    """Return what a vendor's word for the end means; None if it is no end of an answer."""
    return REASONS.get(said.strip().lower())


def cut_by(provider: str, said: str, key: str = "") -> ProviderStreamCut:
    """Return the error for a word that is no end."""
    return ProviderStreamCut(f"{provider} broke off its answer: {safe_excerpt(said, key) or 'it gave no reason'}.")
