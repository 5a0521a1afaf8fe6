"""Fills a tool's arguments from a question by the tool's JSON Schema. Rules 12 and 13 of `offline.py`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from graphs.language.tokenization import fold
from graphs.providers.offline import values
from graphs.providers.offline.formulas import formulas, operation
from graphs.providers.offline.texts import listed

Kind = Literal["formula", "query", "place", "zone", "code", "name", "url", "email", "date", "source", "words", "other"]

MOST_CALLS = 4
"""Calls of one tool for one part of a question: one for each city that it names."""

_WORDS_OF_KINDS: tuple[tuple[Kind, frozenset[str]], ...] = (
    ("formula", listed("expression formula equation")),
    ("zone", listed("timezone tz zone")),
    ("place", listed("city location place town country region address origin destination port province dia thanh")),
    ("url", listed("url link uri website")),
    ("email", listed("email mail")),
    ("date", listed("date day since until deadline ngay")),
    ("query", listed("query q question search keyword keywords topic title term terms subject prompt")),
    ("words", listed("text content message note fact memory body")),
    ("source", listed("script program source python")),
    (
        "code",
        listed("id code number no mst ma so tax container bill invoice order shipment sku tracking ref reference"),
    ),
    ("name", listed("name customer company person client supplier vendor user ten")),
)
_AFTER_SEARCH = re.compile(
    r"(?:search|look|google|tìm(?: kiếm)?|tra cứu)\b.*?\b(?:for|up|about|on|về|cho|thông tin)\s+(.+)",
    re.IGNORECASE | re.DOTALL,
)
_WHO = re.compile(
    r"^(?:(?:who|what)(?:'s| is| are| was| were)|tell me about|define|explain)\s+(?:an? |the )?(.+)|^(.+?)\s+(?:là ai|là gì)\b",
    re.IGNORECASE | re.DOTALL,
)
_THAT = re.compile(
    r"\b(?:remember|note|memori[sz]e|nhớ|ghi nhớ|ghi chú)\b(?:\s+(?:that|rằng|là|giúp tôi|cho tôi))*[:,]?\s+(.+)|:\s+(.+)",
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
    """Where values are looked for: `part` first; codes also in `earlier` (the whole message, then messages before it, newest
    first); what is required and missing, in `fields` of earlier results, by its own name."""

    part: str
    earlier: Sequence[str] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Filled:
    """Arguments, and the names of required ones that were not found. `fitted` names those that speak
    for the tool: by a pattern, an enum value, a formula, or the shape of a code."""

    arguments: dict[str, Any]
    missing: tuple[str, ...] = ()
    fitted: tuple[str, ...] = ()


def fill(parameters: Mapping[str, Any], sources: Sources) -> list[Filled]:
    """The calls that a part of a question asks for: one, or several where it names several values for the one required
    argument (cities, codes)."""
    properties = parameters.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    required = [name for name in parameters.get("required") or () if name in properties]
    if (
        len(required) == 1
        and isinstance(properties[required[0]], dict)
        and type_of(properties[required[0]]) == "string"
    ):
        found = _strings(required[0], properties[required[0]], sources.part)
        kind = _kind(required[0], properties[required[0]])
        if len(found) > 1 and (properties[required[0]].get("pattern") or kind in ("place", "formula", "code")):
            return [_fill(properties, required, sources, {required[0]: value}) for value in found[:MOST_CALLS]]
    return [_fill(properties, required, sources, {})]


def _fill(properties: dict[str, Any], required: list[str], sources: Sources, given: dict[str, Any]) -> Filled:
    arguments: dict[str, Any] = {}
    fitted: list[str] = []
    used = {str(value) for value in given.values()}
    for name in sorted(properties, key=lambda name: name not in required):
        schema = properties[name] if isinstance(properties[name], dict) else {}
        value = given[name] if name in given else _value(name, schema, sources, used, needed=name in required)
        if value is None and name in required:
            value = _known(name, schema, sources)
        if value is not None:
            arguments[name] = value
            used.update(str(one) for one in (value if isinstance(value, list) else [value]))
            if _speaks(name, schema, value):
                fitted.append(name)
    missing = tuple(name for name in required if name not in arguments)
    return Filled({name: arguments[name] for name in properties if name in arguments}, missing, tuple(fitted))


def _speaks(name: str, schema: Mapping[str, Any], value: Any) -> bool:
    """Whether a value is so particular that it speaks for the tool: it fits a pattern, an enum, a formula, or has the shape
    of a code that the description shows, as SHP-1029 has that of SHP-0001."""
    if schema.get("pattern") or schema.get("enum") or _kind(name, schema) == "formula":
        return True
    shown = values.codes(" ".join([str(schema.get("description", "")), *map(str, schema.get("examples") or ())]))
    return isinstance(value, str) and _shape(value) in {_shape(code) for code in shown}


def _shape(code: str) -> str:
    return re.sub(r"\d", "0", code.upper())


def _known(name: str, schema: Mapping[str, Any], sources: Sources) -> Any:
    """What an argument is if the question does not say: a constant, a default, or a field of this name in a result."""
    if "const" in schema or "default" in schema:
        return schema.get("const", schema.get("default"))
    known = sources.fields.get(plain(name))
    if isinstance(known, (str, int, float)) and fits_type(known, schema):
        return known
    return schema["enum"][0] if len(schema.get("enum") or ()) == 1 else None


def _value(name: str, schema: Mapping[str, Any], sources: Sources, used: set[str], *, needed: bool) -> Any:
    if schema.get("enum"):
        return choose_enum(schema["enum"], sources.part)
    match type_of(schema):
        case "boolean":
            return _truth(name, sources.part)
        case "integer" | "number" as kind:
            return _number(name, schema, sources.part, used, whole=kind == "integer", needed=needed)
        case "array":
            inner = schema.get("items")
            found = _strings(name, inner, sources.part) if isinstance(inner, dict) and needed else []
            return [one for one in found if one not in used] or None
        case "string":
            return _text(name, schema, sources, used, needed=needed)
    return None


def _text(name: str, schema: Mapping[str, Any], sources: Sources, used: set[str], *, needed: bool) -> str | None:
    anywhere = schema.get("pattern") or _kind(name, schema) == "source"
    for text in (sources.part, *sources.earlier) if anywhere else (sources.part,):
        if found := [one for one in _strings(name, schema, text, needed=needed) if one not in used]:
            return _directed(name, sources.part, found)
    return None


def choose_enum(options: Sequence[Any], text: str) -> Any:
    """The value that a text names, as it is written or by its operation; None for none."""
    said = f" {plain(text)} "
    for option in sorted((o for o in options if isinstance(o, str)), key=len, reverse=True):
        words = plain(option)
        if words and f" {words} " in said:
            return option
    wanted = operation(text)
    return wanted if wanted in options and "evaluate" in options else None


def _strings(name: str, schema: Mapping[str, Any], text: str, *, needed: bool = True) -> list[str]:
    """The texts that can stand for a property, best first."""
    if isinstance(pattern := schema.get("pattern"), str):
        return values.matching(pattern, text)
    kind = _kind(name, schema)
    if kind in _ALWAYS:
        return _ALWAYS[kind](text)
    if kind == "query" and needed:
        whole = "question" in f"{name} {schema.get('description', '')}".casefold()
        return [text.strip() if whole else query_in(text)]
    if kind == "words" and needed:
        return (
            []
            if text.rstrip().endswith("?")
            else [m[1] or m[2] for m in _THAT.finditer(text)][:1] or values.quoted(text)
        )
    if needed or kind in ("code", "name"):
        return _named(name, kind, text)
    return []


_ALWAYS = {
    "formula": formulas,
    "place": values.places,
    "zone": lambda text: (
        _ZONE.findall(text) or [z for place in values.places(text) if (z := _ZONES.get(fold(place.casefold())))]
    ),
    "url": values.urls,
    "email": values.emails,
    "date": values.dates,
    "source": values.fenced,
}


def _named(name: str, kind: Kind, text: str) -> list[str]:
    """Codes, names, or the quoted words of a text."""
    if kind == "code":
        return values.codes(text) or values.quoted(text)
    return values.quoted(text) or (values.names(text) if kind == "name" else [])


def query_in(text: str) -> str:
    """What is to be searched for: quoted words, what follows "search for" or "who is", or the whole text."""
    if found := values.quoted(text):
        return found[0]
    for pattern in (_AFTER_SEARCH, _WHO):
        if match := pattern.search(text.strip(" ?.!")):
            return next(group for group in match.groups() if group).strip(" ?.!")
    return text.strip().rstrip("?.! ")


def _kind(name: str, schema: Mapping[str, Any]) -> Kind:
    """What a string property is about: by its format, the words of its name, then those of its description."""
    by_format: dict[str, Kind] = {"uri": "url", "email": "email", "date": "date", "date-time": "date"}
    if found := by_format.get(str(schema.get("format"))):
        return found
    described = str(schema.get("description", "")).casefold()
    if name == "code" and re.search(r"python|script|program", described):
        return "source"
    own = {word for said in plain(name).split() for word in (said, said.removesuffix("s"))}
    for kind, words in _WORDS_OF_KINDS:
        if own & words:
            return kind
    told = set(re.findall(r"[a-z]+", fold(described))[:8])
    for kind, words in _WORDS_OF_KINDS:
        if told & words and kind not in ("words", "source"):
            return kind
    return "other"


def _directed(name: str, text: str, found: list[str]) -> str:
    """Of several values, the one after "to" or "đến" for a destination, else the first."""
    sign = r"(?:to|đến|tới|into|sang)" if re.search(r"^to$|to_|_to$|dest|target|arriv|end", name) else ""
    led = [one for one in found if sign and re.search(rf"\b{sign}\s+{re.escape(one)}", text)]
    return (led or found)[0]


def _truth(name: str, text: str) -> bool | None:
    said = fold(text.casefold())
    word = plain(name).split()[-1] if plain(name) else ""
    if not word or not re.search(rf"\b{re.escape(word)}", said):
        return None
    return not re.search(rf"\b(?:no|not|without|khong|don't)\s+(?:\w+\s+)?{re.escape(word)}", said)


def _number(
    name: str, schema: Mapping[str, Any], text: str, used: set[str], *, whole: bool, needed: bool
) -> int | float | None:
    hints = set(plain(name).split()) | (
        {"top", "first"} & {"top", "first"} if plain(name) in ("limit", "k", "n", "count") else set()
    )
    near = values.number_near(
        text, frozenset(hints | {f"{hint}s" for hint in hints} | {hint.rstrip("s") for hint in hints})
    )
    found = [near] if near else [one for one in values.numbers(text) if one not in used] if needed else []
    for one in found:
        number = float(one)
        if not whole or number.is_integer():
            low, high = schema.get("minimum", number), schema.get("maximum", number)
            if low <= number <= high:
                return int(number) if number.is_integer() else number
    return None


def type_of(schema: Mapping[str, Any]) -> str:
    """The type of a schema; of several the first that is not null; "string" where none is said."""
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), None)
    if kind is None:
        kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
    return str(kind)


def fits_type(value: Any, schema: Mapping[str, Any]) -> bool:
    """Whether a plain value has the type that a schema asks for."""
    kinds: dict[str, tuple[type, ...]] = {
        "string": (str,),
        "integer": (int,),
        "number": (int, float),
        "boolean": (bool,),
    }
    return isinstance(value, kinds.get(type_of(schema), (object,)))


def plain(name: str) -> str:
    """A name of a field as folded words: `taxCode` and `tax_code` are both "tax code"."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return " ".join(re.findall(r"[^\W_]+", fold(apart.casefold())))
