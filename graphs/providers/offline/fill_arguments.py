"""Fills a tool's arguments from a question by the tool's JSON Schema. Rules 12 and 13 of `provider.py`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from graphs.language.tokenization import fold
from graphs.providers.offline import values
from graphs.providers.offline.formulas import find_bounds, find_formulas, requested_operation
from graphs.providers.offline.texts import word_set

Bound = Literal["lower", "upper"]
Kind = (
    Literal[
        "formula", "table", "query", "place", "zone", "code", "name", "url", "email", "date", "source", "words", "other"
    ]
    | Bound
)

MAX_CALLS_PER_TOOL = 4
"""For one part of a question, such as one call for each city that it names."""

_KIND_WORDS: tuple[tuple[Kind, frozenset[str]], ...] = (
    ("formula", word_set("expression formula equation")),
    ("lower", word_set("lower")),
    ("upper", word_set("upper")),
    ("table", word_set("data table csv")),
    ("zone", word_set("timezone tz zone")),
    ("place", word_set("city location place town country region address origin destination port province dia thanh")),
    ("url", word_set("url link uri website")),
    ("email", word_set("email mail")),
    ("date", word_set("date day since until deadline ngay")),
    ("query", word_set("query q question search keyword keywords topic title term terms subject prompt")),
    ("words", word_set("text content message note fact memory body")),
    ("source", word_set("script program source python")),
    (
        "code",
        word_set("id code number no mst ma so tax container bill invoice order shipment sku tracking ref reference"),
    ),
    ("name", word_set("name customer company person client supplier vendor user ten")),
)
_SEARCH_FOR = re.compile(
    r"(?:search|look|google|tìm(?: kiếm)?|tra cứu)\b.*?\b(?:for|up|about|on|về|cho|thông tin)\s+(.+)",
    re.IGNORECASE | re.DOTALL,
)
_ENCYCLOPEDIA = re.compile(
    r"\b(?:wikipedia|encyclopa?edia|article|entry)\b(?:\s+\w+){0,3}?\s+(?:on|about|về)\s+(?:the )?(.+)"
    r"|^google\s+(?!for\b|about\b)(.+)",
    re.IGNORECASE | re.DOTALL,
)
_IN_ENCYCLOPEDIA = re.compile(r"\s+(?:in|on|trên)\s+(?:the\s+)?(?:wikipedia|encyclopa?edia)\b.*$", re.IGNORECASE)
_WHO_IS = re.compile(
    r"^(?:(?:who|what)(?:'s| is| are| was| were)|tell me about|define|explain)\s+(?:an? |the )?(.+)|^(.+?)\s+(?:là ai|là gì)\b",
    re.IGNORECASE | re.DOTALL,
)
_REMEMBER_THAT = re.compile(
    r"\b(?:remember|note|memori[sz]e|keep in mind|don't forget|đừng quên|nhớ|ghi nhớ|ghi chú)\b"
    r"(?:\s+(?:that|rằng|là|(?:giúp|cho|hộ) (?:tôi|mình|em)))*[:,]?\s+(.+)|:\s+(.+)",
    re.IGNORECASE | re.DOTALL,
)
_ZONES = {
    **dict.fromkeys(("hanoi", "ha noi", "saigon", "ho chi minh", "ho chi minh city", "vietnam"), "Asia/Ho_Chi_Minh"),
    **{"tokyo": "Asia/Tokyo", "japan": "Asia/Tokyo", "singapore": "Asia/Singapore", "bangkok": "Asia/Bangkok"},
    **{"beijing": "Asia/Shanghai", "shanghai": "Asia/Shanghai", "seoul": "Asia/Seoul", "sydney": "Australia/Sydney"},
    **{"london": "Europe/London", "paris": "Europe/Paris", "berlin": "Europe/Berlin", "utc": "UTC", "gmt": "UTC"},
    **{"new york": "America/New_York", "los angeles": "America/Los_Angeles", "chicago": "America/Chicago"},
}
_ZONE = re.compile(r"\b[A-Z][A-Za-z]+/[A-Z][A-Za-z_]+\b|\bUTC\b")


@dataclass(frozen=True)
class Sources:
    """Where values are looked up: first in `part`; codes also in `earlier` (the whole message, then older ones, newest
    first); missing required arguments by name in `fields` of earlier results."""

    part: str
    earlier: Sequence[str] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FilledArguments:
    """Arguments, and the names of required ones that were not found. `distinctive` are those whose values point to the tool:
    by a pattern, an enum value, a formula, or the shape of a code."""

    arguments: dict[str, Any]
    missing: tuple[str, ...] = ()
    distinctive: tuple[str, ...] = ()


def fill_arguments(parameters: Mapping[str, Any], sources: Sources) -> list[FilledArguments]:
    """Return the arguments of each call that a part of a question asks for: one call, or several if it names several values
    (cities, codes) for the only required argument."""
    properties = parameters.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    required = [name for name in parameters.get("required") or () if name in properties]
    if (
        len(required) == 1
        and isinstance(properties[required[0]], dict)
        and schema_type(properties[required[0]]) == "string"
    ):
        found = _strings(required[0], properties[required[0]], sources.part)
        kind = _kind(required[0], properties[required[0]])
        if len(found) > 1 and (properties[required[0]].get("pattern") or kind in ("place", "formula", "code")):
            return [
                _fill_once(properties, required, sources, {required[0]: value}) for value in found[:MAX_CALLS_PER_TOOL]
            ]
    return [_fill_once(properties, required, sources, {})]


def _fill_once(
    properties: dict[str, Any], required: list[str], sources: Sources, fixed: dict[str, Any]
) -> FilledArguments:
    arguments: dict[str, Any] = {}
    distinctive: list[str] = []
    used = {str(value) for value in fixed.values()}
    for name in sorted(properties, key=lambda name: name not in required):
        schema = properties[name] if isinstance(properties[name], dict) else {}
        value = fixed[name] if name in fixed else _value(name, schema, sources, used, required_here=name in required)
        if value is None and name in required:
            value = _default_value(name, schema, sources)
        if value is not None:
            arguments[name] = value
            used.update(str(one) for one in (value if isinstance(value, list) else [value]))
            if _is_distinctive(name, schema, value):
                distinctive.append(name)
    missing = tuple(name for name in required if name not in arguments)
    return FilledArguments(
        {name: arguments[name] for name in properties if name in arguments}, missing, tuple(distinctive)
    )


def _is_distinctive(name: str, schema: Mapping[str, Any], value: Any) -> bool:
    """Whether a value is specific enough to point to the tool: it matches a pattern or an enum, is a formula, or has the shape
    of a code in the description, as SHP-1029 has that of SHP-0001."""
    if schema.get("pattern") or schema.get("enum") or _kind(name, schema) in ("formula", "source", "table"):
        return True
    shown = values.find_codes(" ".join([str(schema.get("description", "")), *map(str, schema.get("examples") or ())]))
    return isinstance(value, str) and _code_shape(value) in {_code_shape(code) for code in shown}


def _code_shape(code: str) -> str:
    return re.sub(r"\d", "0", code.upper())


def _default_value(name: str, schema: Mapping[str, Any], sources: Sources) -> Any:
    """Return an argument that the question doesn't give: a constant, a default, or a field of this name in a result."""
    if "const" in schema or "default" in schema:
        return schema.get("const", schema.get("default"))
    known = sources.fields.get(normalise_name(name))
    if isinstance(known, (str, int, float)) and fits_type(known, schema):
        return known
    return schema["enum"][0] if len(schema.get("enum") or ()) == 1 else None


def _value(name: str, schema: Mapping[str, Any], sources: Sources, used: set[str], *, required_here: bool) -> Any:
    if schema.get("enum"):
        return choose_enum(schema["enum"], sources.part)
    match schema_type(schema):
        case "boolean":
            return _boolean(name, sources.part)
        case "integer" | "number" as kind:
            return _number(name, schema, sources.part, used, whole=kind == "integer", required_here=required_here)
        case "array":
            inner = schema.get("items")
            found = _strings(name, inner, sources.part) if isinstance(inner, dict) and required_here else []
            if not found and isinstance(inner, dict) and required_here and _kind(name, inner) == "place":
                found = next((places for text in sources.earlier[:1] if (places := _strings(name, inner, text))), [])
            return [one for one in found if one not in used] or None
        case "string":
            return _text(name, schema, sources, used, required_here=required_here)
    return None


def _text(name: str, schema: Mapping[str, Any], sources: Sources, used: set[str], *, required_here: bool) -> str | None:
    kind = _kind(name, schema)
    reach = len(sources.earlier) if schema.get("pattern") or kind == "source" else int(kind == "place")
    for text in (sources.part, *sources.earlier[:reach]):
        if found := [one for one in _strings(name, schema, text, required_here=required_here) if one not in used]:
            return _prefer_destination(name, sources.part, found)
    return None


def choose_enum(options: Sequence[Any], text: str) -> Any:
    """Return the option that a text names, literally or as an operation; None if there is none."""
    words_in_text = f" {normalise_name(text)} "
    for option in sorted((o for o in options if isinstance(o, str)), key=len, reverse=True):
        words = normalise_name(option)
        if words and f" {words} " in words_in_text:
            return option
    operation = requested_operation(text)
    if "correlate" in options and values.find_tables(text):
        return "correlate" if re.search(r"correlat|tuong quan", fold(text.casefold())) else "describe"
    return operation if operation in options and "evaluate" in options else None


def _strings(name: str, schema: Mapping[str, Any], text: str, *, required_here: bool = True) -> list[str]:
    """Return the candidates for a string property, best first."""
    if isinstance(pattern := schema.get("pattern"), str):
        return values.find_matching(pattern, text)
    kind = _kind(name, schema)
    if kind in _FINDERS:
        return _FINDERS[kind](text)
    if kind == "query" and required_here:
        whole = "question" in f"{name} {schema.get('description', '')}".casefold()
        return [text.strip() if whole else search_query(text)]
    if kind == "words" and required_here:
        return (
            []
            if text.rstrip().endswith("?")
            else [m[1] or m[2] for m in _REMEMBER_THAT.finditer(text)][:1] or values.find_quoted(text)
        )
    if required_here or (kind in ("code", "name") and not values.find_tables(text)):
        return _named(name, kind, text)
    return []


_FINDERS = {
    "formula": find_formulas,
    "lower": lambda text: [bounds[0]] if (bounds := find_bounds(text)) else [],
    "upper": lambda text: [bounds[1]] if (bounds := find_bounds(text)) else [],
    "table": values.find_tables,
    "place": values.find_places,
    "zone": lambda text: (
        _ZONE.findall(text) or [z for place in values.find_places(text) if (z := _ZONES.get(fold(place.casefold())))]
    ),
    "url": values.find_urls,
    "email": values.find_emails,
    "date": values.find_dates,
    "source": values.find_code_blocks,
}


def _named(name: str, kind: Kind, text: str) -> list[str]:
    """Return codes, names, or quoted words of a text."""
    if kind == "code":
        return values.find_codes(text) or values.find_quoted(text)
    return values.find_quoted(text) or (values.find_names(text) if kind == "name" else [])


def search_query(text: str) -> str:
    """Return what to search for: quoted words, what follows "search for" or "who is", or the whole text."""
    if found := values.find_quoted(text):
        return found[0]
    if match := _ENCYCLOPEDIA.search(text.strip(" ?.!")):
        return _IN_ENCYCLOPEDIA.sub("", next(group for group in match.groups() if group)).strip(" ?.!")
    for pattern in (_SEARCH_FOR, _WHO_IS):
        if match := pattern.search(text.strip(" ?.!")):
            return next(group for group in match.groups() if group).strip(" ?.!")
    return text.strip().rstrip("?.! ")


def _kind(name: str, schema: Mapping[str, Any]) -> Kind:
    """Return the kind of a string property, by its format, the words of its name, then those of its description."""
    by_format: dict[str, Kind] = {"uri": "url", "email": "email", "date": "date", "date-time": "date"}
    if found := by_format.get(str(schema.get("format"))):
        return found
    described = str(schema.get("description", "")).casefold()
    if name == "code" and re.search(r"python|script|program", described):
        return "source"
    name_words = {
        word for word_form in normalise_name(name).split() for word in (word_form, word_form.removesuffix("s"))
    }
    for kind, words in _KIND_WORDS:
        if name_words & words:
            return kind
    described_words = set(re.findall(r"[a-z]+", fold(described))[:8])
    for kind, words in _KIND_WORDS:
        if described_words & words and kind not in ("words", "source"):
            return kind
    return "other"


def _prefer_destination(name: str, text: str, found: list[str]) -> str:
    """Return, of several values, the one after "to" or "đến" for a destination, else the first."""
    preposition = r"(?:to|đến|tới|into|sang)" if re.search(r"^to$|to_|_to$|dest|target|arriv|end", name) else ""
    after_preposition = [
        one for one in found if preposition and re.search(rf"\b{preposition}\s+{re.escape(one)}", text)
    ]
    return (after_preposition or found)[0]


def _boolean(name: str, text: str) -> bool | None:
    folded_text = fold(text.casefold())
    word = normalise_name(name).split()[-1] if normalise_name(name) else ""
    if not word or not re.search(rf"\b{re.escape(word)}", folded_text):
        return None
    return not re.search(rf"\b(?:no|not|without|khong|don't)\s+(?:\w+\s+)?{re.escape(word)}", folded_text)


def _number(
    name: str, schema: Mapping[str, Any], text: str, used: set[str], *, whole: bool, required_here: bool
) -> int | float | None:
    hints = set(normalise_name(name).split()) | (
        {"top", "first"} & {"top", "first"} if normalise_name(name) in ("limit", "k", "n", "count") else set()
    )
    nearby = values.number_near(
        text, frozenset(hints | {f"{hint}s" for hint in hints} | {hint.rstrip("s") for hint in hints})
    )
    found = (
        [nearby] if nearby else [one for one in values.find_numbers(text) if one not in used] if required_here else []
    )
    for one in found:
        number = float(one)
        if not whole or number.is_integer():
            low, high = schema.get("minimum", number), schema.get("maximum", number)
            if low <= number <= high:
                return int(number) if number.is_integer() else number
    return None


def schema_type(schema: Mapping[str, Any]) -> str:
    """Return the type of a schema: of several the first that is not null, "string" if none is given."""
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), None)
    if kind is None:
        kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
    return str(kind)


def fits_type(value: Any, schema: Mapping[str, Any]) -> bool:
    """Whether a scalar has the type of a schema."""
    kinds: dict[str, tuple[type, ...]] = {
        "string": (str,),
        "integer": (int,),
        "number": (int, float),
        "boolean": (bool,),
    }
    return isinstance(value, kinds.get(schema_type(schema), (object,)))


def normalise_name(name: str) -> str:
    """Return a field's name as folded words: `taxCode` and `tax_code` are both "tax code"."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return " ".join(re.findall(r"[^\W_]+", fold(spaced.casefold())))
