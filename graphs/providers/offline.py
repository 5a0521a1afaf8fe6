"""`offline/extractive`: the model that is there when no provider is, and says so.

It has no weights, calls nothing and invents nothing. Its rules, all of them:

1. The text at hand is every earlier message (system prompt, history, tool results; not its own earlier answers) and
   the last user message without its question.
2. The question is the sentences of the last user message that end in a question mark; without one, its first sentence.
3. A sentence ends at `.`, `!`, `?`, `…` or `。` before white space, or at a line break.
4. Words are runs of letters and digits, case folded, in Unicode NFC, so Vietnamese syllables count as words. Stop
   words (English and Vietnamese, below) don't count; a plural `s` of a longer English word is dropped.
5. A sentence scores the sum of log(1 + sentences / sentences with the word) over the words it shares with the question.
6. Quoted are the at most three best, none below 0.4 of the best, each once, in the order they stood in.
7. The answer begins with `NOTICE`, one sentence that says that no language model is connected and how to connect one.
   With nothing to quote it says that, and repeats in short what it was asked.
8. A token is a word with the white space before it. `max_tokens` and `stop` are honoured; tools, pictures,
   temperature and output formats are ignored, for it can do nothing with them.

The same request gives the same answer, byte for byte. `registry.py` chooses it only when no provider is configured.
"""

import asyncio
import math
import re
import unicodedata
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Sequence

from graphs.providers.contract import (
    Delta,
    Finished,
    FinishReason,
    Message,
    ModelInfo,
    ModelRequest,
    TextDelta,
    Usage,
)
from graphs.providers.errors import ModelUnknown

NAME = "offline"
MODEL = "extractive"
TOKENS_PER_S = 60.0
NOTICE = (
    "No language model is connected, so this answer only quotes the text at hand; to connect one, set OLLAMA_HOST or "
    "OPENAI_API_KEY, and HEADRACE_DEFAULT_MODEL to choose the model."
)
QUOTES = 3
WORTH = 0.4
ECHO_LENGTH = 160

# The look-behind lets a run of marks be tried once, not from each of its places: a million dots must cost no hour.
_SENTENCE = re.compile(r"[^\n]+?(?:(?<![.!?…])[.!?…]+(?=\s|$)|。|$)", re.MULTILINE)
_WORD = re.compile(r"\w+")
_TOKEN = re.compile(r"\s*\S+|\s+$")
_ENGLISH_AND_VIETNAMESE = (
    "a an and are as at be been but by can could did do does for from had has have he her his how i if in is it its "
    "me my no not of on or our she so tell than that the their them then there these they this to us was we were what "
    "when where which who why will with would you your please "
    "ai anh bao bạn bị bởi các cái cho chị chưa chúng có của cũng cùng do gì hay hãy hoặc khi không là làm lại mà một "
    "nào này nên nếu những như nhưng nhiêu ở ra rằng sao sẽ ta tại theo thì tôi trong trên từ và vào về vì với đã đang "
    "đâu đây để đến đó được"
)
_STOP_WORDS = frozenset(_ENGLISH_AND_VIETNAMESE.split())


class Offline:
    """A `Provider` without a vendor. `tokens_per_s` is its pace; 0 means no pauses."""

    name = NAME

    def __init__(self, tokens_per_s: float = TOKENS_PER_S) -> None:
        self._pause_s = 1.0 / tokens_per_s if tokens_per_s > 0 else 0.0

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        """See `Provider.stream`. Raises ModelUnknown for any model but `extractive`."""
        if request.model != MODEL:
            raise ModelUnknown(f"{NAME} has one model, {MODEL!r}, and no {request.model!r}.")
        tokens, reason = limit(split_tokens(answer(request.messages)), request)
        loop = asyncio.get_running_loop()
        due = loop.time()
        for token in tokens:
            yield TextDelta(token)
            due += self._pause_s
            await asyncio.sleep(max(due - loop.time(), 0.0))  # 0 still lets other tasks run, and a cancel in
        read = sum(len(split_tokens(m.text)) for m in request.messages)
        yield Finished(reason, Usage(read, len(tokens)))

    async def list_models(self) -> list[ModelInfo]:
        """Its one model."""
        return [ModelInfo(NAME, MODEL)]

    async def check_key(self) -> None:
        """There is no key, so nothing can be wrong with it."""


def answer(messages: Sequence[Message]) -> str:
    """The whole answer to a conversation, by the rules above."""
    at = max((i for i, m in enumerate(messages) if m.role == "user"), default=-1)
    question, own = _question(messages[at].text) if at >= 0 else ("", [])
    texts = [m.text for i, m in enumerate(messages) if i != at and not m.text.startswith(NOTICE)]
    at_hand = [s for text in texts for s in sentences(text)] + own
    quotes = pick(question, at_hand)
    if quotes:
        return NOTICE + "".join(f"\n\n> {quote}" for quote in quotes)
    asked = " ".join(question.split())
    if not asked:
        return f"{NOTICE}\n\nThere was no question, and nothing to quote."
    short = asked if len(asked) <= ECHO_LENGTH else asked[: ECHO_LENGTH - 1] + "…"
    return f"{NOTICE}\n\nThe text at hand has nothing to quote on this. You asked: “{short}”"


def pick(question: str, at_hand: Iterable[str]) -> list[str]:
    """The sentences worth quoting (rules 4–6), in their order; none when no word is shared."""
    candidates = list(dict.fromkeys(at_hand))
    bags = [words(s) for s in candidates]
    asked = words(question)
    spread = Counter(word for bag in bags for word in bag & asked)
    # Sorted, because a sum of floats depends on its order and a set's order on the process.
    scores = [sum(math.log(1 + len(bags) / spread[w]) for w in sorted(bag & asked)) for bag in bags]
    best = sorted(range(len(candidates)), key=lambda i: -scores[i])[:QUOTES]
    return [candidates[i] for i in sorted(best) if scores[i] > 0 and scores[i] >= WORTH * scores[best[0]]]


def sentences(text: str) -> list[str]:
    """The sentences of a text (rule 3), without the white space and list marks around them."""
    found = (m.group().strip().lstrip("-*•># ").strip() for m in _SENTENCE.finditer(unicodedata.normalize("NFC", text)))
    return [s for s in found if s]


def words(sentence: str) -> frozenset[str]:
    """The words that count (rule 4)."""
    found = _WORD.findall(unicodedata.normalize("NFC", sentence).casefold())
    return frozenset(_singular(w) for w in found if w not in _STOP_WORDS)


def split_tokens(text: str) -> list[str]:
    """The text as tokens (rule 8); joined they are the text again."""
    return _TOKEN.findall(text)


def limit(tokens: list[str], request: ModelRequest) -> tuple[list[str], FinishReason]:
    """The tokens up to the first stop text, which is left out, or up to `max_tokens`; and which of them ended it."""
    text = "".join(tokens)
    ends = [at for mark in request.stop if mark and (at := text.find(mark)) >= 0]
    if ends:
        tokens = split_tokens(text[: min(ends)])
    if request.max_tokens is not None and len(tokens) > request.max_tokens:
        return tokens[: request.max_tokens], "length"
    return tokens, "stop"


def _question(message: str) -> tuple[str, list[str]]:
    """(question, the sentences besides it) of the last user message (rule 2)."""
    said = sentences(message)
    asked = [s for s in said if s.endswith("?")] or said[:1]
    return " ".join(asked), [s for s in said if s not in asked]


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.isascii() and word.endswith("s") and word[-2] not in "su" else word
