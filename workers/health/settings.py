"""From when on the watchdog calls something pressure, how long its history is kept, and where clients find the installation."""

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class HealthSettings:
    """Percents of memory and disk in use; seconds that a job may wait for a worker, a read may take (p95), a check may take and
    an event loop may be late; the days that a certificate must last, and those that the history is kept; and the public
    address, if there is one."""

    memory_percent: float = 90.0
    disk_percent: float = 90.0
    wait_s: float = 60.0
    response_s: float = 2.0
    slow_s: float = 1.0
    lag_s: float = 1.0
    certificate_days: float = 14.0
    days: int = 7
    public_url: str = ""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "HealthSettings":
        """Read and check the settings. Raises ValueError, which names the setting and says what is right."""
        return cls(
            memory_percent=_number(env, "HEADRACE_ALERT_MEMORY_PERCENT", cls.memory_percent, most=100),
            disk_percent=_number(env, "HEADRACE_ALERT_DISK_PERCENT", cls.disk_percent, most=100),
            wait_s=_number(env, "HEADRACE_ALERT_WAIT_S", cls.wait_s),
            response_s=_number(env, "HEADRACE_ALERT_RESPONSE_S", cls.response_s),
            certificate_days=_number(env, "HEADRACE_ALERT_CERTIFICATE_DAYS", cls.certificate_days, most=3650),
            public_url=env.get("HEADRACE_ISSUER", "").strip() or env.get("HEADRACE_URL", "").strip(),
            days=int(_number(env, "HEADRACE_CHECKS_DAYS", cls.days, most=3650, whole=True)),
        )


def _number(env: Mapping[str, str], name: str, default: float, *, most: float = math.inf, whole: bool = False) -> float:
    text = env.get(name, "").strip()
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= most or value == math.inf or (whole and value != int(value)):
        kind = "whole number" if whole else "number"
        up_to = f", up to {most:g}" if most < math.inf else ""
        raise ValueError(f"{name} is {text[:80]!r}; it must be a {kind} above 0{up_to} (default {default:g}).")
    return value
