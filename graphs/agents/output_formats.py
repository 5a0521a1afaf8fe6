"""Answers in a required format: what the model is told, and whether its answer conforms."""

import json
import re
from typing import Any

import jsonschema_rs

FORMATS = ("structured_json", "markdown_table", "chart_data", "summary_text")

CHART_SCHEMA = {
    "type": "object",
    "properties": {
        "type": {"enum": ["bar", "line", "pie", "area", "scatter"]},
        "title": {"type": "string"},
        "labels": {"type": "array", "items": {"type": ["string", "number"]}},
        "series": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "values": {"type": "array", "items": {"type": "number"}}},
                "required": ["values"],
            },
        },
    },
    "required": ["type", "labels", "series"],
}
MAX_SUMMARY_CHARS = 2000
_CODE_FENCE = re.compile(r"```(?:json)?\s*\n(.*?)```", re.DOTALL)
_TABLE_RULE = re.compile(r"^\s*\|?\s*:?-{2,}:?\s*(\|\s*:?-{2,}:?\s*)*\|?\s*$", re.MULTILINE)


def format_instructions(output_format: str | None, schema: dict[str, Any] | None) -> str:
    """Return the instructions for a model; empty without a format."""
    match output_format:
        case "structured_json":
            shape = f" that fits this JSON Schema: {json.dumps(schema)}" if schema else ""
            return f"Answer with one JSON object or array{shape}, and nothing else."
        case "chart_data":
            return (
                f"Answer with one JSON object that fits this JSON Schema, and nothing else: {json.dumps(CHART_SCHEMA)}"
            )
        case "markdown_table":
            return "Answer with a Markdown table with a header row; at most one sentence may stand before it."
        case "summary_text":
            return f"Answer with plain sentences, no lists or tables, at most {MAX_SUMMARY_CHARS} characters."
    return ""


def parse_output(output_format: str | None, schema: dict[str, Any] | None, text: str) -> tuple[Any, str]:
    """Return the answer's data, if the format has any, and a sentence that says what is wrong, or an empty one. The sentence
    goes into the prompt that asks for a corrected answer."""
    match output_format:
        case "structured_json":
            return _read_json(text, schema)
        case "chart_data":
            return _read_json(text, CHART_SCHEMA)
        case "markdown_table":
            return _read_table(text)
        case "summary_text" if len(text) > MAX_SUMMARY_CHARS:
            return None, f"It has {len(text)} characters; at most {MAX_SUMMARY_CHARS} are right."
    return None, ""


def _read_json(text: str, schema: dict[str, Any] | None) -> tuple[Any, str]:
    fenced = _CODE_FENCE.search(text)
    try:
        data = json.loads(fenced[1] if fenced else text)
    except (ValueError, RecursionError):
        return None, "It is not one JSON value."
    if schema is not None:
        try:
            errors = [f"{'/'.join(map(str, e.instance_path)) or 'it'}: {e.message}" for e in _errors(schema, data)]
        except ValueError:
            return data, ""  # the schema was checked when it was stored
        if errors:
            return None, "It does not fit the schema. " + "; ".join(errors[:3])
    return data, ""


def json_text(text: str) -> str:
    """Return JSON without the fence that a model may have put around it."""
    fenced = _CODE_FENCE.search(text)
    return (fenced[1] if fenced else text).strip()


def _errors(schema: dict[str, Any], data: Any) -> Any:
    return jsonschema_rs.validator_for(schema, retriever=_refuse_remote_schema).iter_errors(data)


def _refuse_remote_schema(url: str) -> Any:
    """A schema may come from a client, and must not make us call an address."""
    raise ValueError(f"The schema refers to {url[:80]}, which is not loaded.")


def _read_table(text: str) -> tuple[Any, str]:
    rule = _TABLE_RULE.search(text)
    if rule is None:
        return None, "It has no Markdown table with a header row and a line of dashes below it."
    above, below = text[: rule.start()].rstrip("\n"), text[rule.end() :].strip("\n")
    header = _cells(above.rpartition("\n")[2])
    rows = [_cells(line) for line in below.split("\n\n")[0].splitlines() if "|" in line]
    return {"columns": header, "rows": rows}, "" if header else "The table has no header row."


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")] if line.strip() else []
