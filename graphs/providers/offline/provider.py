"""`offline/extractive`: the model that answers when no provider is configured.

It has no weights, makes no calls and invents nothing. These are all of its rules; the other files of this folder implement
them.

Quoting:
1. The text at hand is every earlier message (system prompt, history, tool results; not answers of a model, nor
   sentences that name the marks of data, `graphs/data_marks.py`) and the last user message without its question.
2. The question is the sentences of the last user message that end in a question mark; without one, its first sentence.
3. A sentence ends at `.`, `!`, `?`, `…` or `。` before white space, or at a line break.
4. Words are runs of letters and digits, case folded, in Unicode NFC, so Vietnamese syllables count as words. Stop
   words (English and Vietnamese, `texts.py`) don't count; a plural `s` of a longer English word is dropped.
5. A sentence scores the sum of log(1 + sentences / sentences with the word) over the words it shares with the question.
6. Quoted are the at most three best, none below 0.4 of the best, each once, in the order they stood in. A sentence of a
   passage that begins with `[n]` keeps that mark, so sources are cited. A heading that only repeats the question is not.
7. An answer begins with what was asked for. That no language model is connected is not said in it: the answer's field
   `notice` says so (`schema/events/notices.py`). A greeting is answered with what it can do; with nothing to quote it says in a
   sentence that it can't help, and what would.
8. A token is a word with the white space before it. `max_tokens` and `stop` are honoured for text; images and temperature
   are ignored.

Tools, where some are offered:
9. The last user message is cut into parts (`graphs/language/clauses.py`); of one longer than 600 characters its question is.
    One with a table or a fenced program stays whole.
10. Each part gets the tool that scores best, if that is 1.5 or more (3 if only its description fits): words that the
    part shares with the tool's name (3 each) or with its description and arguments (1 each), rarer ones among the tools
    weighing more; concepts likewise (3 and 1.5); 3 for a value that fits the `pattern` of an argument or has the shape of a
    code in its description, 1.5 for one of an `enum`; 1 if no argument is missing; 0.5 for the tool of the part before.
11. A concept is a row of words in English and Vietnamese that mean the same (`concepts.py`); diacritics don't count.
12. A tool with an argument `expression`, `formula` or `equation` scores 6 for a part with a formula and 0 for any other.
    "plus", "times", "12% of", "cộng", "chia" are signs; the operation is the one that a word names, else "evaluate"; "from 0
    to 1" are the ends of an integral. So does one with `data` and `operation` for lines of a table, or five numbers in a row.
13. Arguments come from the part by their JSON Schema: a token that fits the `pattern` (in earlier messages of the user
    too), a value of the `enum` that is named, else by format and by the words of their names and descriptions: places and
    names (capitals, or words after "in", "ở"), codes with digits, dates, numbers, addresses, quoted words, what is to be
    searched for, what follows "remember that". An optional number, flag or text is filled only where its own word or
    its kind is said. Then `const`, `default`, and a field of the same name in an earlier result. Several places, formulas
    or codes for the one required argument are several calls, four at most.
14. A question that fits no tool goes to Wikipedia for "who is" and "what is", else to a tool that searches documents. A
    greeting goes to none, a question never to a tool that keeps what it is told (`fact`, `note`, `memory`). A required
    argument that nobody gave is asked for in words, after the other calls are made. All calls of a step go out together,
    six at most. The same call is not made twice for one question. `tool_choice` is honoured: "none", "required" (the best
    tool, its missing texts being the question; once), a named one.
15. When nothing is left to call it answers from the results: a record as a list (fields that the question names first),
    records as a table (10 rows, 6 columns), text of up to six lines as it stands, longer text and passages by rules 3 to 6,
    with `[n]` as the source. Of several results each stands under its tool's name.
16. A result `{"error": …}` or `Error: …` is passed on as a failure with its reason.

Forms, where `response_format` asks for JSON:
17. An object is filled property by property: with a field of the same name in a result, a list of records that has such
    fields, the answer in words for `answer`, `summary` and the like, values from the question as in rule 13, else with
    what is empty for the type. An `enum` takes the value that the question names, or its first. A flag is true when a
    tool has answered. Properties that are not required and would be empty are left out.
18. A list called `steps`, `plan` or `tasks` is a plan: one step for each call of rules 9 to 14 with its `tool`,
    `arguments`, `task` and number, or for each part; a single one is followed by a second, to answer. Tools that are not
    offered are read from the prompt's lines `- name: description {JSON Schema}`.
19. Without a schema it is a plan if the word "plan" ("kế hoạch") was said, else `{"answer": …, "data": …}`.

20. A request to choose among agents (the system prompt begins "You route", or the form asks for `agent` alone) is
    declined in words.

The same request gives the same answer, byte for byte. `registry.py` chooses it only when no provider is configured.
"""

import asyncio
from collections.abc import AsyncGenerator

import msgspec

from graphs.providers.calls.ids import make_call_id
from graphs.providers.contract import (
    Delta,
    Finished,
    FinishReason,
    ModelInfo,
    ModelRequest,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from graphs.providers.errors import ModelUnknown
from graphs.providers.offline.conversation import CalledTool
from graphs.providers.offline.replies import answer, reply
from graphs.providers.offline.texts import pick_sentences, sentences, split_tokens, words

__all__ = ["MODEL", "NAME", "Offline", "answer", "limit", "pick_sentences", "sentences", "split_tokens", "words"]

NAME = "offline"
MODEL = "extractive"
TOKENS_PER_S = 60.0


class Offline:
    """A `Provider` without a vendor. `tokens_per_s` is its speed; 0 means no pauses."""

    name = NAME

    def __init__(self, tokens_per_s: float = TOKENS_PER_S) -> None:
        self._pause_s = 1.0 / tokens_per_s if tokens_per_s > 0 else 0.0

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        """See `Provider.stream`. Raises ModelUnknown for any model but `extractive`."""
        if request.model != MODEL:
            raise ModelUnknown(f"{NAME} has one model, {MODEL!r}, and no {request.model!r}.")
        read = sum(len(split_tokens(m.text)) for m in request.messages)
        replied = reply(request)
        if replied.calls:
            written = 0
            for index, call in enumerate(replied.calls):
                delta = _delta(request, index, call)
                written += len(split_tokens(delta.arguments))
                yield delta
                await asyncio.sleep(0)
            yield Finished("tool_calls", Usage(read, written))
            return
        tokens, reason = limit(split_tokens(replied.text), request)
        loop = asyncio.get_running_loop()
        due = loop.time()
        for token in tokens:
            yield TextDelta(token)
            due += self._pause_s
            await asyncio.sleep(max(due - loop.time(), 0.0))  # 0 still lets other tasks run, and a cancel in
        yield Finished(reason, Usage(read, len(tokens)))

    async def list_models(self) -> list[ModelInfo]:
        """Its one model."""
        return [ModelInfo(NAME, MODEL)]

    async def check_key(self) -> None:
        """Does nothing: there is no key."""


def limit(tokens: list[str], request: ModelRequest) -> tuple[list[str], FinishReason]:
    """Return the tokens up to the first stop text (exclusive) or up to `max_tokens`, and the finish reason."""
    text = "".join(tokens)
    ends = [at for mark in request.stop if mark and (at := text.find(mark)) >= 0]
    if ends:
        tokens = split_tokens(text[: min(ends)])
    if request.max_tokens is not None and len(tokens) > request.max_tokens:
        return tokens[: request.max_tokens], "length"
    return tokens, "stop"


def _delta(request: ModelRequest, index: int, call: CalledTool) -> ToolCallDelta:
    arguments = msgspec.json.encode(call.arguments).decode()
    return ToolCallDelta(index, make_call_id(request.messages, index), call.name, arguments)
