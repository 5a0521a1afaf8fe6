"""What a counterpart does, read from the model's name, so that a test can ask for it through headrace unchanged.

| model | what happens |
|---|---|
| `text-N` | N tokens, as fast as possible |
| `text-N-at-R` | N tokens at R a second |
| `stamped-N`, `stamped-N-at-R` | each token is `<monotonic ns of its sending>` |
| `long-N` | as `text-N`: the name says that the answer is long |
| `reasoning` | 5 tokens of reasoning, then 5 of text |
| `tool-call` | one call of the first offered tool (or `get_weather`), its arguments in three pieces |
| `refuse-S` | status S |
| `rate-limit-K`, `overloaded-K` | 429 (`Retry-After: 0.2`) or 500, K times per prompt, then 10 tokens |
| `stall-first` | headers, then nothing |
| `stall-after-N` | N tokens, then nothing |
| `cut-after-N` | N tokens, then the connection is reset |
| `short-after-N` | N tokens, then a well-formed end of the HTTP answer without the protocol's end mark |
| `garbage-after-N` | N tokens, then bytes that are not the protocol |
| `error-after-N` | N tokens, then an error object |
| `slow-first-S` | the head of the answer comes after S seconds, then 10 tokens |
| `slow-connect` | no answer at all: the request is read, nothing comes back |
| `late-end-N` | N tokens and the end mark, but the end of the HTTP answer only 10 ms later |
| `no-usage-N` | N tokens and no usage |
| `absent-…` | (Ollama) missing until pulled, then what the rest of the name says |

Everything else is an unknown model: 404. Token k is `words(k)`, a function of the position alone.
"""

import re
from dataclasses import dataclass

WORDS = ("water", "flows", "down", "the", "channel", "and", "turns", "a", "wheel", "again")
_NAME = re.compile(r"^(?P<kind>[a-z]+(?:-[a-z]+)*?)(?:-(?P<n>\d+(?:\.\d+)?))?(?:-at-(?P<rate>\d+))?$")
_KINDS = (
    "text stamped long reasoning tool-call refuse rate-limit overloaded stall-first stall-after cut-after short-after "
    "garbage-after error-after slow-first slow-connect no-usage late-end"
)
KINDS = frozenset(_KINDS.split())


@dataclass(frozen=True, slots=True)
class Behaviour:
    """`kind` from the table above, its number (tokens, status or count) and tokens per second (0: no pauses)."""

    kind: str
    n: float = 0
    rate: float = 0

    @property
    def tokens(self) -> int:
        """How many tokens of text it sends before whatever happens next."""
        if self.kind in ("text", "stamped", "long", "no-usage", "late-end") or self.kind.endswith("-after"):
            return int(self.n)
        return {"reasoning": 5, "rate-limit": 10, "overloaded": 10, "slow-first": 10}.get(self.kind, 0)


def parse(model: str) -> Behaviour | None:
    """The behaviour of a model name; None when it is unknown. An `absent-` before and a `:tag` after don't count."""
    match = _NAME.match(model.removeprefix("absent-").partition(":")[0])
    if match is None or match["kind"] not in KINDS:
        return None
    return Behaviour(match["kind"], float(match["n"] or 10), float(match["rate"] or 0))


def word(k: int) -> str:
    """Token number k, counted from 0."""
    return WORDS[k % len(WORDS)] if k == 0 else f" {WORDS[k % len(WORDS)]}"


def text(n: int) -> str:
    """What n tokens are together."""
    return "".join(word(k) for k in range(n))


def prompt_tokens(messages: list[dict]) -> int:
    """The counterparts' way to count a prompt: its words."""
    return sum(len(str(m.get("content") or "").split()) for m in messages)
