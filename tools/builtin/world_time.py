"""`world_time`: the current time in a place, and conversions between places. Uses the local time zone database, so daylight
saving time is right for any year that it covers, without any network request."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any
from unicodedata import normalize
from zoneinfo import ZoneInfo, available_timezones

from tools.contract import FunctionTool, Tool, ToolContext, ToolResult, ToolSpec
from tools.errors import ToolBadArguments

CITIES = {
    **{"hanoi": "Asia/Ho_Chi_Minh", "ha noi": "Asia/Ho_Chi_Minh", "hcmc": "Asia/Ho_Chi_Minh"},
    **{
        "ho chi minh city": "Asia/Ho_Chi_Minh",
        "saigon": "Asia/Ho_Chi_Minh",
        "sai gon": "Asia/Ho_Chi_Minh",
        "da nang": "Asia/Ho_Chi_Minh",
    },
    **{"hai phong": "Asia/Ho_Chi_Minh", "vietnam": "Asia/Ho_Chi_Minh", "viet nam": "Asia/Ho_Chi_Minh"},
    **{"beijing": "Asia/Shanghai", "shenzhen": "Asia/Shanghai", "china": "Asia/Shanghai", "osaka": "Asia/Tokyo"},
    **{"delhi": "Asia/Kolkata", "new delhi": "Asia/Kolkata", "mumbai": "Asia/Kolkata", "india": "Asia/Kolkata"},
    **{"bangalore": "Asia/Kolkata", "munich": "Europe/Berlin", "frankfurt": "Europe/Berlin", "milan": "Europe/Rome"},
    **{"germany": "Europe/Berlin", "france": "Europe/Paris", "uk": "Europe/London", "barcelona": "Europe/Madrid"},
    **{"geneva": "Europe/Zurich", "san francisco": "America/Los_Angeles", "seattle": "America/Los_Angeles"},
    **{"boston": "America/New_York", "washington": "America/New_York", "miami": "America/New_York"},
    **{"dallas": "America/Chicago", "houston": "America/Chicago", "canberra": "Australia/Sydney"},
    **{"rio de janeiro": "America/Sao_Paulo", "gmt": "UTC", "utc": "UTC"},
}
"""Common place names that are missing from the database, without accents."""

SPEC = ToolSpec(
    name="world_time",
    description=(
        "The date and time in one or more places, now or at a given moment: 'what time is it in Tokyo', '9:00 in Hanoi is "
        "when in London'. Use it for every question about today's date as well."
    ),
    parameters={
        "type": "object",
        "properties": {
            "places": {
                "type": "array",
                "items": {"type": "string", "minLength": 1, "maxLength": 60},
                "minItems": 1,
                "maxItems": 10,
                "description": "Cities or names of zones: Hanoi, New York, Europe/Paris, UTC",
            },
            "time": {"type": "string", "maxLength": 40, "description": "2026-05-01 09:00 or 09:00; now if left out"},
            "time_is_in": {"type": "string", "maxLength": 60, "description": "The place that `time` is meant in"},
        },
        "required": ["places"],
        "additionalProperties": False,
    },
)


def utc_now() -> datetime:
    """The current time; tests pass a fixed clock."""
    return datetime.now(UTC)


async def get_times(now: Callable[[], datetime], arguments: dict[str, Any], context: ToolContext) -> ToolResult:
    """Raises ToolBadArguments for a place or a time that can't be read."""
    zones = [(place, find_zone(place, f"places.{number}")) for number, place in enumerate(arguments["places"])]
    moment = now()
    if text := arguments.get("time", "").strip():
        origin = arguments.get("time_is_in") or arguments["places"][0]
        moment = _parse_moment(text, find_zone(origin, "time_is_in"), moment)
    rows = [_time_row(place, zone, moment) for place, zone in zones]
    lines = [f"{row['place']} ({row['zone']}): {row['text']}" for row in rows]
    return ToolResult("\n".join(lines), {"times": rows}, renderer="table")


def find_zone(place: str, field: str = "places") -> ZoneInfo:
    """Find a zone by city or zone name. Raises ToolBadArguments. Only names from the database are opened, since a zone
    name is a file path."""
    key = _normalize_name(place)
    name = CITIES.get(key) or _zone_names().get(key) or CITIES.get(key.partition(",")[0].strip())
    name = name or _zone_names().get(key.partition(",")[0].strip())
    if name is None:
        raise ToolBadArguments(
            f"The time zone of {place!r} is unknown; name a larger city, or a zone such as Europe/Paris.", field=field
        )
    return ZoneInfo(name)


@cache
def _zone_names() -> dict[str, str]:
    """Zone names by normalized zone and city names."""
    names = sorted(available_timezones())
    cities = {
        _normalize_name(name.rpartition("/")[2]): name for name in names if "/" in name and not name.startswith("Etc/")
    }
    return {**cities, **{_normalize_name(name): name for name in names}}


def _normalize_name(text: str) -> str:
    """Lower-case, without accents, with spaces for `_`: "Hà Nội" becomes "ha noi"."""
    letters = normalize("NFD", text.strip().lower().replace("đ", "d").replace("_", " "))
    return " ".join("".join(each for each in letters if not "\u0300" <= each <= "\u036f").split())


def _parse_moment(text: str, zone: ZoneInfo, now: datetime) -> datetime:
    """Parse ISO 8601; a time alone means today, and one without an offset is in `zone`."""
    try:
        if "-" not in text.partition("T")[0] and ":" in text:
            text = f"{now.astimezone(zone):%Y-%m-%d}T{text.zfill(5) if text.count(':') == 1 else text}"
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=zone)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ToolBadArguments(
            f"{text[:40]!r} is not a valid time; write 2026-05-01 09:00 or 09:00 (24 hours).", field="time"
        ) from None


def _time_row(place: str, zone: ZoneInfo, moment: datetime) -> dict[str, str]:
    try:
        local = moment.astimezone(zone)
    except (ValueError, OverflowError):
        raise ToolBadArguments("The time is outside the years 1 to 9999.", field="time") from None
    offset = local.strftime("%z")
    text = f"{local:%A, %Y-%m-%d %H:%M} (UTC{offset[:3]}:{offset[3:5]})"
    return {"place": place, "zone": zone.key, "time": local.isoformat(timespec="minutes"), "text": text}


def build(now: Callable[[], datetime] = utc_now) -> Tool:
    return FunctionTool(SPEC, partial(get_times, now))
