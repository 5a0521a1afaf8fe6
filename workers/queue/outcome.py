"""What became of a doorbell, for whoever rang it: Celery, and so Flower, show a job as what it is."""

from dataclasses import dataclass
from typing import Literal

from schema.states import State


@dataclass(frozen=True)
class Outcome:
    """`ignored`: a newer attempt has the job, or none was claimed. `retried`: the job waits for another attempt. `code` says
    why it failed, or is tried again."""

    state: State | Literal["ignored", "retried"]
    code: str = ""


IGNORED = Outcome("ignored")
