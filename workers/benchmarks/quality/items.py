"""The questions of a dataset, with what is right; read from JSON, JSONL or CSV."""

import csv
import io
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import jsonschema_rs
import msgspec
from msgspec import Meta

from schema.errors import InputError
from tools.arguments import validator

MAX_ITEMS = 10_000
MAX_NAMED = 20
"""Broken lines that an error names."""
CSV_COLUMNS = ("question", "agent", "passages", "check", "value", "tolerance", "rubric")
NO_AGENT = "chat"
"""What is expected of questions that are nobody's: no agent, the model alone."""

Check = Literal["exact", "contains", "regex", "number", "json_schema", "judge"]
Measure = Literal["routing", "retrieval", "answers"]


class ExpectedAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """How an answer is judged. `value` is the text, the number or the schema; a `judge` is a model that reads the `rubric`."""

    check: Annotated[
        Check,
        Meta(
            description="`exact`, `contains` (any case), `regex`, `number` (the first in the answer), `json_schema`, `judge`."
        ),
    ]
    value: Annotated[
        Any,
        Meta(
            description="What is right: a text, a number or a JSON schema; not for `judge`.",
        ),
    ] = None
    tolerance: Annotated[float, Meta(ge=0, description="How far a `number` may be off.")] = 0.0
    rubric: Annotated[str, Meta(max_length=4000, description="What a `judge` looks for.")] = ""


class Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A question with what is right: the agent, the passages that a search should find, the answer, or several of these."""

    question: Annotated[str, Meta(min_length=1, max_length=20_000, description="The question.")]
    agent: Annotated[
        Annotated[str, Meta(min_length=1, max_length=200)] | None,
        Meta(description=f"The agent that should answer; `{NO_AGENT}` for none."),
    ] = None
    passages: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=2000)]],
        Meta(
            max_length=50,
            description="Passages that a search should find: ids of chunks or documents, names of documents, or text within.",
        ),
    ] = []
    answer: Annotated[ExpectedAnswer | None, Meta(description="How the answer is judged.")] = None


_decoder = msgspec.json.Decoder(Item)


def check_item(item: Item) -> None:
    """Raise ValueError, with a sentence, for an item that can't be judged."""
    if not item.question.strip():
        raise ValueError("question must not be empty")
    if item.agent is None and not item.passages and item.answer is None:
        raise ValueError("an agent, passages or an answer must say what is right")
    expected = item.answer
    if expected is None:
        return
    match expected.check:
        case "number" if not isinstance(expected.value, int | float) or isinstance(expected.value, bool):
            raise ValueError("answer.value must be a number for the check number")
        case "json_schema":
            _check_schema(expected.value)
        case "judge" if not expected.rubric.strip():
            raise ValueError("answer.rubric must say what the judge looks for")
        case "exact" | "contains" | "regex" if not isinstance(expected.value, str) or not expected.value:
            raise ValueError(f"answer.value must be a text for the check {expected.check}")
        case "regex":
            compile_pattern(str(expected.value))
        case _:
            pass


def _check_schema(schema: Any) -> None:
    if not isinstance(schema, dict):
        raise ValueError("answer.value must be a JSON schema, which is an object")
    try:
        validator(schema)
    except (jsonschema_rs.ValidationError, ValueError) as error:
        raise ValueError(f"answer.value is no valid JSON schema: {str(error)[:200]}") from error


def compile_pattern(pattern: str) -> jsonschema_rs.Validator:
    """Return what tells whether a text matches. It takes time linear in the text, whatever the pattern: what needs backtracking
    (look-around, back-references) is refused. Raises ValueError."""
    try:
        return jsonschema_rs.validator_for(
            {"type": "string", "pattern": pattern},
            pattern_options=jsonschema_rs.RegexOptions(size_limit=1 << 20, dfa_size_limit=1 << 20),
        )
    except (jsonschema_rs.ValidationError, ValueError) as error:
        raise ValueError("answer.value is no regular expression, or one with look-around or back-references") from error


def read_jsonl(text: str) -> list[Item]:
    """Return the items of a text with one JSON object a line. Raises InputError that names the broken lines."""
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    return _read_all("jsonl", ((number, line, _decoder.decode) for number, line in lines))


def read_csv(text: str) -> list[Item]:
    """Return the items of a CSV with a header. Raises InputError that names the broken lines."""
    reader = csv.DictReader(io.StringIO(text), strict=True)
    try:
        unknown = [name for name in reader.fieldnames or () if name not in CSV_COLUMNS]
        if unknown or "question" not in (reader.fieldnames or ()):
            wrong = (
                f"line 1: unknown column {unknown[0][:40]!r}" if unknown else "line 1: the column question is missing"
            )
            raise InputError(
                f"csv: {wrong}. Columns: {', '.join(CSV_COLUMNS)}; passages are separated by |.", field="csv"
            )
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise InputError(f"csv: line {reader.line_num}: {error}.", field="csv") from error
    return _read_all("csv", ((number, row, _from_row) for number, row in rows))


def _from_row(row: dict[str, Any]) -> Item:
    if None in row or any(value is None for value in row.values()):
        raise ValueError("it has another number of columns than the first line")
    given = {name: value for name, value in row.items() if value != ""}
    item: dict[str, Any] = {name: given[name] for name in ("question", "agent") if name in given}
    if "passages" in given:
        item["passages"] = [part.strip() for part in given["passages"].split("|") if part.strip()]
    if "check" in given:
        value: Any = given.get("value")
        if value is not None and given["check"] in ("number", "json_schema"):
            value = msgspec.json.decode(value.encode())
        item["answer"] = {"check": given["check"], "value": value, "rubric": given.get("rubric", "")}
        item["answer"] |= {"tolerance": float(given["tolerance"])} if "tolerance" in given else {}
    return msgspec.convert(item, Item)


def _read_all(field: str, lines: Iterator[tuple[int, Any, Any]]) -> list[Item]:
    items: list[Item] = []
    broken: list[str] = []
    for number, line, read in lines:
        try:
            item = read(line)
            check_item(item)
            items.append(item)
        except (msgspec.MsgspecError, ValueError) as error:
            broken.append(f"line {number}: {str(error)[:200]}")
    if broken:
        more = f" And {len(broken) - MAX_NAMED} more." if len(broken) > MAX_NAMED else ""
        raise InputError(f"{field}: {'; '.join(broken[:MAX_NAMED])}.{more} Nothing was stored.", field=field)
    return items
