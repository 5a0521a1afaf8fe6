"""What the bytes of an exchange say: when the first token came, how late each was, whether the answer is whole."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from tests.bench.load.client import Exchange
from tests.bench.load.targets import Target
from tests.counterparts.behaviours import parse, text

STAMP = re.compile(rb"<(\d{9,20})>")
CONTENT = re.compile(rb'"delta":\{"content":"([^"]*)"')
COMPLETED = b"\nevent: message.completed"


def moment_ns(exchange: Exchange, mark: bytes) -> int | None:
    """Return when the whole of `mark` had first come."""
    at = exchange.answer.find(mark)
    return None if at < 0 else _arrivals(exchange, [at + len(mark)])[0]


def first_token_ms(target: Target, exchange: Exchange) -> float:
    """Return milliseconds from sending the request until the first token was there."""
    came_ns = moment_ns(exchange, target.mark)
    return float("nan") if came_ns is None else (came_ns - exchange.sent_ns) / 1e6


def first_tokens_ms(target: Target, exchanges: Sequence[Exchange]) -> list[float]:
    """Return the times to the first token of all answers that had one."""
    return [ms for exchange in exchanges if (ms := first_token_ms(target, exchange)) == ms]


def token_delays_ms(exchange: Exchange) -> list[float]:
    """Return for each stamped token the milliseconds from the stand-in's write until it was here."""
    stamps = list(STAMP.finditer(_event_bytes(exchange)))
    arrivals = _arrivals(exchange, [stamp.end() for stamp in stamps])
    return [(came_ns - int(stamp[1])) / 1e6 for stamp, came_ns in zip(stamps, arrivals, strict=True)]


def token_arrivals_ns(exchange: Exchange) -> list[int]:
    """Return when each stamped token was here."""
    return _arrivals(exchange, [stamp.end() for stamp in STAMP.finditer(_event_bytes(exchange))])


def response_error(target: Target, exchange: Exchange, model: str) -> str:
    """Return what is wrong with an answer, or nothing: it must have ended well and hold every token of the model."""
    answer, behaviour = exchange.answer, parse(model)
    assert behaviour is not None, model
    if exchange.error:
        return exchange.error
    if target.end not in answer:
        return f"ended without {target.end.decode().strip()!r}: …{answer[-300:].decode(errors='replace')}"
    if behaviour.kind == "stamped":
        came = len(STAMP.findall(_event_bytes(exchange)))
        return "" if came == behaviour.tokens else f"{came} of {behaviour.tokens} tokens came"
    wanted = text(behaviour.tokens).encode()
    if target.kind == "native":
        same = b'"text":"%s"' % wanted in answer[answer.find(COMPLETED) :]
    else:
        same = b"".join(CONTENT.findall(answer)) == wanted
    return "" if same else "the text is not the model's"


def response_errors(target: Target, exchanges: Sequence[Exchange], model: str) -> list[str]:
    """Return what is wrong with each answer that is not right."""
    return [said for exchange in exchanges if (said := response_error(target, exchange, model))]


def _event_bytes(exchange: Exchange) -> bytes:
    """The answer as it was streamed; headrace's last events hold the whole text once more."""
    return exchange.answer.partition(COMPLETED)[0]


def _arrivals(exchange: Exchange, ends: Sequence[int]) -> list[int]:
    """Return when the bytes before each of `ends` had come."""
    filled = list(accumulate(len(data) for _, data in exchange.packets))
    return [exchange.packets[bisect_right(filled, end - 1)][0] for end in ends]
