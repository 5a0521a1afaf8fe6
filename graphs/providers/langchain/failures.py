"""What a model's class raised, as an error of ours."""

from graphs.providers.errors import (
    ModelUnknown,
    ProviderInvalidResponse,
    ProviderOverloaded,
    ProviderRefused,
    ProviderStreamCut,
    ProviderTimeout,
    ProviderUnknown,
    ProviderUnreachable,
    ToolsUnsupported,
    safe_excerpt,
)
from graphs.providers.http.statuses import error_for_status, error_in_stream
from graphs.providers.langchain.frames import Failed
from graphs.providers.langchain.listing import NAME, LangChainModel
from schema.errors import ProviderError

TIMEOUTS = frozenset({"TimeoutError", "TimeoutException", "APITimeoutError", "Timeout"})
UNREACHED = frozenset({"ConnectError", "ConnectionError", "APIConnectionError", "NetworkError", "TransportError"})
CUT = frozenset({"RemoteProtocolError", "ReadError", "ChunkedEncodingError", "IncompleteRead", "ClientPayloadError"})
GARBAGE = frozenset({"JSONDecodeError", "DecodingError", "ValidationError", "APIResponseValidationError"})
OURS = frozenset({"TypeError", "AttributeError", "KeyError", "NotImplementedError", "ImportError"})
PLAIN_OURS = frozenset(
    {
        "ValueError",
        "LookupError",
        "IndexError",
        "AssertionError",
        "ZeroDivisionError",
        "FileNotFoundError",
        "SystemExit",
    }
)
"""Python's own errors, which a class raises itself; a vendor's package may call its own by these, too."""
NOTHING_CAME = "No generation chunks were returned"
"""What LangChain says of a stream without an answer."""
BY_KIND: tuple[tuple[frozenset[str], type[ProviderError]], ...] = (
    (TIMEOUTS, ProviderTimeout),
    (CUT | UNREACHED, ProviderUnreachable),
    (frozenset({"ModelNotFoundError"}), ModelUnknown),
    (OURS, ProviderRefused),
)


def error_from(failed: Failed, listed: LangChainModel, *, has_output: bool) -> ProviderError:
    """Return the error. `has_output`: part of the answer had come."""
    name, key, kinds = f"{NAME}/{listed.name}", " ".join(listed.secrets), {*failed.kinds}
    said = safe_excerpt(failed.message, key)
    if (refused := _not_called(failed, name, said)) is not None:
        return refused
    if failed.status:
        return error_for_status(name, failed.status, failed.headers, failed.body, key=key, model=listed.name)
    if failed.error:
        return error_in_stream(name, failed.error, key=key, model=listed.name)
    return _error_without_answer(name, kinds, f"{_kind(failed)}: {said}", has_output=has_output)


def _not_called(failed: Failed, name: str, said: str) -> ProviderError | None:
    """Return the error of what went wrong before the model was called, or of vectors that are none."""
    match failed.where:
        case "build":
            return ProviderUnknown(f"{name} can't be made from its list: {_kind(failed)}: {said}")
        case "tools":
            return ToolsUnsupported(f"{name} can't call tools natively: {said}.")
        case "options":
            return ProviderRefused(f"{name} refused the request: {said}.")
        case "vectors":
            return ProviderInvalidResponse(f"{name} returned a vector that {failed.message}.")
        case "call":
            return None


def _error_without_answer(name: str, kinds: set[str], said: str, *, has_output: bool) -> ProviderError:
    if NOTHING_CAME in said or (kinds & CUT and has_output):
        return ProviderStreamCut(f"{name} broke off its answer: {said}")
    if kinds & GARBAGE:  # which may quote what came
        return ProviderInvalidResponse(
            f"{name} was sent something that is not its protocol ({said.partition(':')[0]})."
        )
    match said.partition(":")[0]:
        case kind if kind in PLAIN_OURS:
            return ProviderRefused(f"{name} failed: {said}")
        case "OSError":
            return ProviderUnreachable(f"{name} failed: {said}")
        case _:
            pass
    made = next((error for words, error in BY_KIND if kinds & words), ProviderOverloaded)
    return made(f"{name} failed: {said}")


def _kind(failed: Failed) -> str:
    return failed.kinds[0] if failed.kinds else "Error"
