"""All cases, by number."""

from tests.chaos import (
    client_cases,
    failover_cases,
    process_cases,
    schedule_cases,
    starting_cases,
    store_cases,
    webhook_cases,
)
from tests.chaos.cluster import cases as cluster_cases
from tests.chaos.cluster import rolling_case
from tests.chaos.table import CASES as _ENTERED
from tests.chaos.table import Case

__all__ = [
    "CASES",
    "Case",
    "client_cases",
    "cluster_cases",
    "failover_cases",
    "process_cases",
    "rolling_case",
    "schedule_cases",
    "starting_cases",
    "store_cases",
    "webhook_cases",
]

CASES: list[Case] = sorted(_ENTERED, key=lambda case: case.number)
