"""`weather`: current weather and a forecast from Open-Meteo (no key needed). Temperatures in °C, wind in km/h, rain in mm."""

from typing import Any

from tools.contract import FunctionTool, Tool, ToolContext, ToolResult, ToolSpec
from tools.errors import ToolBadArguments, ToolUnavailable
from tools.http_calls import expect_type, request_json

FORECAST_URL = "https://api.open-meteo.com"
GEOCODING_URL = "https://geocoding-api.open-meteo.com"
SERVICE = "Open-Meteo"
CURRENT_FIELDS = "temperature_2m,apparent_temperature,relative_humidity_2m,precipitation,wind_speed_10m,weather_code"
DAILY_FIELDS = "temperature_2m_max,temperature_2m_min,precipitation_sum,precipitation_probability_max,weather_code"
WEATHER_CODES = {
    **{0: "clear sky", 1: "mainly clear", 2: "partly cloudy", 3: "overcast", 45: "fog", 48: "fog with rime"},
    **{51: "light drizzle", 53: "drizzle", 55: "heavy drizzle", 56: "freezing drizzle", 57: "heavy freezing drizzle"},
    **{61: "light rain", 63: "rain", 65: "heavy rain", 66: "freezing rain", 67: "heavy freezing rain"},
    **{71: "light snow", 73: "snow", 75: "heavy snow", 77: "snow grains", 80: "light showers", 81: "showers"},
    **{82: "violent showers", 85: "snow showers", 86: "heavy snow showers", 95: "thunderstorm"},
    **{96: "thunderstorm with hail", 99: "thunderstorm with heavy hail"},
}
"""WMO weather codes as listed by Open-Meteo (https://open-meteo.com/en/docs)."""

SPEC = ToolSpec(
    name="weather",
    description="The weather at a place: now, and the forecast for up to 7 days.",
    parameters={
        "type": "object",
        "properties": {
            "place": {"type": "string", "description": "A town, such as Hanoi", "minLength": 2, "maxLength": 100},
            "country": {"type": "string", "description": "Two letters, such as VN", "pattern": "^[A-Za-z]{2}$"},
            "days": {"type": "integer", "minimum": 1, "maximum": 7, "description": "3 if left out"},
        },
        "required": ["place"],
        "additionalProperties": False,
    },
    untrusted=True,
)


async def forecast(arguments: dict[str, Any], context: ToolContext) -> ToolResult:
    """Raises ToolBadArguments for an unknown place, ToolUnavailable for an unexpected response."""
    location = await _find_place(arguments, context)
    response = await request_json(
        context.fetch,
        context.settings.get("OPEN_METEO_URL", FORECAST_URL).rstrip("/") + "/v1/forecast",
        service=SERVICE,
        params={
            **{"latitude": location["latitude"], "longitude": location["longitude"], "timezone": "auto"},
            **{"current": CURRENT_FIELDS, "daily": DAILY_FIELDS, "forecast_days": arguments.get("days", 3)},
        },
    )
    now = expect_type(expect_type(response, dict, SERVICE).get("current"), dict, SERVICE)
    days = _rows_by_day(expect_type(response.get("daily"), dict, SERVICE))
    place = ", ".join(str(location[name]) for name in ("name", "admin1", "country") if location.get(name))
    text = "\n".join([_describe_now(place, now), *(_describe_day(day) for day in days)])
    return ToolResult(text, {"place": place, "now": now, "days": days}, renderer="weather")


async def _find_place(arguments: dict[str, Any], context: ToolContext) -> dict[str, Any]:
    """The first place of that name; Open-Meteo lists the larger ones first."""
    params: dict[str, str | int | float] = {"name": arguments["place"], "count": 1, "format": "json"}
    params["language"] = context.language
    if country := arguments.get("country"):
        params["countryCode"] = country.upper()
    url = context.settings.get("OPEN_METEO_GEOCODING_URL", GEOCODING_URL).rstrip("/") + "/v1/search"
    response = await request_json(context.fetch, url, service=SERVICE, params=params)
    places = expect_type(expect_type(response, dict, SERVICE).get("results", []), list, SERVICE)
    if not places:
        raise ToolBadArguments("No place with this name was found; use the local or English spelling.", field="place")
    location = expect_type(places[0], dict, SERVICE)
    if not all(isinstance(location.get(name), int | float) for name in ("latitude", "longitude")):
        raise ToolUnavailable(f"{SERVICE} returned a response in an unexpected format.")
    return location


def _rows_by_day(daily: dict[str, Any]) -> list[dict[str, Any]]:
    """Turn Open-Meteo's columns into one dict per day."""
    columns = {name: values for name, values in daily.items() if isinstance(values, list)}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=False)]


def _describe_sky(code: Any) -> str:
    return WEATHER_CODES.get(code, "unknown sky") if isinstance(code, int) else "unknown sky"


def _describe_now(place: str, now: dict[str, Any]) -> str:
    return (
        f"{place}, now ({now.get('time')} there): {_describe_sky(now.get('weather_code'))}, {now.get('temperature_2m')} °C "
        f"(feels like {now.get('apparent_temperature')}), humidity {now.get('relative_humidity_2m')} %, "
        f"wind {now.get('wind_speed_10m')} km/h, rain {now.get('precipitation')} mm"
    )


def _describe_day(day: dict[str, Any]) -> str:
    return (
        f"{day.get('time')}: {_describe_sky(day.get('weather_code'))}, {day.get('temperature_2m_min')} to "
        f"{day.get('temperature_2m_max')} °C, rain {day.get('precipitation_sum')} mm "
        f"({day.get('precipitation_probability_max')} % likely)"
    )


def build() -> Tool:
    return FunctionTool(SPEC, forecast)
