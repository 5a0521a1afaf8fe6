"""What a counterpart does is encoded in the model's name, so that tests can choose it through headrace.

| model | what happens |
|---|---|
| `text-N` | N tokens, as fast as possible |
| `text-N-at-R` | N tokens at R a second |
| `stamped-N`, `stamped-N-at-R` | each token is `<monotonic ns of its sending>` |
| `prose-N`, `prose-N-at-R` | (OpenAI) as `text-N`, in paragraphs and lists of Markdown |
| `long-N` | as `text-N`; the name says that the answer is long |
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
| `no-tools-N` | refuses a request that offers tools, as the vendor does; N tokens without |
| `scripted`, or any name that `script` or `answer_with` was given | the next turn of its script |
| `obedient` | calls whatever any message tells it to by `CALL name {json}`, each once, and then says DONE |
| `attentive` | says all codes (`code-…`) that any message has; titles, tags and follow-ups as JSON |
| `absent-…` | (Ollama) missing until pulled, then what the rest of the name says |

Everything else is an unknown model: 404. Token k is `words(k)`, a function of the position alone.
"""

import json
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

WORDS = ("water", "flows", "down", "the", "channel", "and", "turns", "a", "wheel", "again")
SIGNATURE = {"extra_content": {"google": {"thought_signature": "c2lnbmF0dXJl"}}}
_NAME = re.compile(r"^(?P<kind>[a-z]+(?:-[a-z]+)*?)(?:-(?P<n>\d+(?:\.\d+)?))?(?:-at-(?P<rate>\d+(?:\.\d+)?))?$")
_KINDS = (
    "text stamped prose long reasoning tool-call refuse rate-limit overloaded stall-first stall-after cut-after short-after "
    "garbage-after error-after slow-first slow-connect no-usage late-end no-tools"
)
KINDS = frozenset(_KINDS.split())
_WORDY = frozenset({"text", "stamped", "prose", "long", "no-usage", "late-end", "no-tools"})


@dataclass(frozen=True, slots=True)
class Behaviour:
    """`kind` from the table above, its number (tokens, status or count) and tokens per second (0: no pauses)."""

    kind: str
    n: float = 0
    rate: float = 0

    @property
    def tokens(self) -> int:
        """How many tokens of text it sends before whatever happens next."""
        if self.kind in _WORDY or self.kind.endswith("-after"):
            return int(self.n)
        return {"reasoning": 5, "rate-limit": 10, "overloaded": 10, "slow-first": 10}.get(self.kind, 0)


def parse(model: str) -> Behaviour | None:
    """Return the behaviour of a model name, ignoring the prefix `absent-` and a `:tag`; None if it is unknown."""
    match = _NAME.match(model.removeprefix("absent-").partition(":")[0])
    if match is None or match["kind"] not in KINDS:
        return None
    return Behaviour(match["kind"], float(match["n"] or 10), float(match["rate"] or 0))


def word(k: int) -> str:
    """Token number k, counted from 0."""
    return WORDS[k % len(WORDS)] if k == 0 else f" {WORDS[k % len(WORDS)]}"


def text(n: int) -> str:
    """Return the text of n tokens."""
    return "".join(word(k) for k in range(n))


PROSE_TOKENS = 100
_BREAKS = {0: "\n\n", 60: "\n\n- ", 70: "\n- ", 80: "\n- ", 90: "\n\n"}


def prose_word(k: int) -> str:
    """Token number k of a text in Markdown: paragraphs of 60 and 10 words, and three items of a list between them."""
    between = _BREAKS.get(k % PROSE_TOKENS, " ") if k else ""
    return between + WORDS[k % len(WORDS)]


def prompt_tokens(messages: list[dict]) -> int:
    """Count a prompt's tokens as counterparts do: by words."""
    return sum(len(str(m.get("content") or "").split()) for m in messages)


@dataclass(frozen=True, slots=True)
class Turn:
    """One answer of a script: reasoning, text and calls, or an error with this status. `said` is streamed in `pieces`. Calls
    that are `signed` carry SIGNATURE, as Google's do; a request without it is refused there. `stop` is a vendor's own reason
    (Anthropic's counterpart knows it)."""

    said: str = ""
    calls: tuple[tuple[str, dict[str, Any] | str], ...] = ()
    thought: str = ""
    status: int = 200
    pieces: int = 3
    signed: bool = False
    stop: str = ""

    @property
    def parts(self) -> list[str]:
        """`said` cut into about equal pieces."""
        size = max(1, -(-len(self.said) // max(1, self.pieces)))
        return [self.said[i : i + size] for i in range(0, len(self.said), size)]

    @property
    def tokens(self) -> int:
        """The counterparts' way to count an answer: its words, and one for each argument text."""
        return len(self.said.split()) + len(self.thought.split()) + len(self.calls)


def says(text: str, *, thought: str = "", pieces: int = 3) -> Turn:
    """A turn of words."""
    return Turn(text, thought=thought, pieces=pieces)


def calls(*called: tuple[str, dict[str, Any] | str], said: str = "") -> Turn:
    """A turn that calls tools: (name, arguments); arguments that are text go out as they are."""
    return Turn(said, called)


def fails(status: int, message: str = "The script fails here.") -> Turn:
    """A turn that is an error."""
    return Turn(message, status=status)


Chooser = Callable[[dict[str, Any]], Any]
"""Returns a Turn, a Behaviour, a `raw_server.RawAnswer`, or None."""

Step = Turn | Behaviour | Chooser


class Scripts:
    """The scripts of models, by name. Each request takes the next step; a step may be a function of the request's body. A
    model without steps left answers 400, so that a test that calls too often ends at once."""

    def __init__(self) -> None:
        self._steps: dict[str, deque[Step]] = {}
        self._chooser: dict[str, Chooser] = {"obedient": obey, "attentive": attend}

    def script(self, *steps: Step, model: str = "scripted") -> None:
        """Append steps to the script of `model`."""
        self._steps.setdefault(model, deque()).extend(steps)

    def answer_with(self, chooser: Chooser, model: str = "scripted") -> None:
        """Every request to `model` is answered by this function; None there falls through to its script."""
        self._chooser[model] = chooser

    def take(self, model: str, body: dict[str, Any]) -> "Turn | Behaviour | None":
        """The answer to a request; None for a model that is not scripted."""
        model = model.partition(":")[0] if model not in self._steps and model not in self._chooser else model
        if model not in self._steps and model not in self._chooser and model != "scripted":
            return None
        if (chooser := self._chooser.get(model)) and (chosen := chooser(body)) is not None:
            return chosen
        steps = self._steps.get(model)
        if not steps:
            return fails(400, f"The script of {model} has no more turns.")
        step = steps.popleft()
        if isinstance(step, (Turn, Behaviour)):
            return step
        return step(body) or fails(400, f"The script of {model} chose nothing.")

    def knows(self, model: str) -> bool:
        """Whether a model is scripted."""
        names = {model, model.partition(":")[0]}
        return bool(names & {"scripted", *self._steps, *self._chooser})

    def load(self, body: dict[str, Any]) -> None:
        """`POST /_script`: {"model": …, "turns": [{"said", "calls": [[name, arguments]], "thought", "status"}]}, for a
        counterpart that runs as a process of its own. A turn {"behaviour": "text-9-at-60"} is one of those."""
        for turn in body["turns"]:
            if (behaviour := parse(turn.get("behaviour", ""))) is not None:
                self.script(behaviour, model=body.get("model") or "scripted")
                continue
            called = tuple((name, arguments) for name, arguments in turn.get("calls", ()))
            self.script(Turn(**{**turn, "calls": called}), model=body.get("model") or "scripted")


_CALL = re.compile(r"CALL\s+([\w-]+)\s*(?=\{)")


def obey(body: dict[str, Any]) -> Turn:
    """The obedient model: it makes every call that any message contains as `CALL name {json}`, whether the tool is offered or
    not, except calls that it has made before."""
    wanted = [call for message in body["messages"] for call in orders_in(_words_of(message.get("content")))]
    before = [
        (call["function"]["name"], _decoded(call["function"]["arguments"]))
        for message in body["messages"]
        for call in message.get("tool_calls") or ()
    ]
    new: list[tuple[str, dict[str, Any]]] = []
    for call in wanted:
        if call not in before and call not in new:
            new.append(call)
    return calls(*new) if new else says("DONE")


_CODE = re.compile(r"\bcode-[a-z]+\b")
ASKED_FOR = ("title", "tags", "follow_ups")


def attend(body: dict[str, Any]) -> Turn:
    """The attentive model: it says the codes of all messages, in their order. A front end's prompt that names a field of JSON
    gets an object with that field."""
    said = [_words_of(message.get("content")) for message in body["messages"]]
    field = next((name for name in ASKED_FOR if f'{{ "{name}":' in said[-1]), None)
    codes = list(dict.fromkeys(code for text in said for code in _CODE.findall(text)))
    if field is not None:
        return says(json.dumps({field: "About codes" if field == "title" else codes}))
    return says(", ".join(codes) or "no code")


def orders_in(said: str) -> list[tuple[str, dict[str, Any]]]:
    """Every `CALL name {json}` of a text, also where the text is itself within JSON."""
    found = []
    for text in (said, said.replace('\\"', '"')):
        for match in _CALL.finditer(text):
            try:
                arguments, _ = json.JSONDecoder().raw_decode(text, match.end())
            except ValueError:
                continue
            if (match[1], arguments) not in found:
                found.append((match[1], arguments))
    return found


def _words_of(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content)
    return str(content or "")


def _decoded(arguments: Any) -> Any:
    return json.loads(arguments) if isinstance(arguments, str) else arguments
