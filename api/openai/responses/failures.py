"""Why a response failed, in OpenAI's words. Clients decide by the code whether they send the request again."""

from api.http.errors import status_for_code
from api.http.vendor_formats.openai_errors import CODES, vendor_words
from api.openai.responses.objects import ResponseErrorOut
from schema.events.base import Reason

KEPT = frozenset({"context_length_exceeded", "insufficient_quota"})
"""Codes that tell clients not to try again, and why."""

PASSING = frozenset({409, 429, 500, 502, 503, 504})
"""Statuses of failures that another try may mend."""

PERMANENT = frozenset({"step_failed", "provider_rejected_key"})


def response_error(reason: Reason) -> ResponseErrorOut:
    """Return the error of a failed response: `invalid_prompt` where another try fails as well, `rate_limit_exceeded` with the
    wait in words, `server_error` for what may pass."""
    told, status = vendor_words(reason.code, reason.vendor_code), status_for_code(reason.code, openai=True)
    code = CODES.get(told, told)
    if code in KEPT:
        return ResponseErrorOut(code, reason.message)
    if status == 429:
        wait_s = reason.retry_after_s
        wait = f" Please try again in {max(1, round(wait_s))} s." if wait_s else ""
        return ResponseErrorOut("rate_limit_exceeded", f"{reason.message}{wait}")
    passes = status in PASSING and reason.code not in PERMANENT
    return ResponseErrorOut("server_error" if passes else "invalid_prompt", reason.message)
