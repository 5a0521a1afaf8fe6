"""What can go wrong while a pipeline runs, in addition to `schema/errors.py`. Retrying doesn't help.

StepFailed    a step failed; the message names the step and says why
"""

from schema.errors import HeadraceError


class StepFailed(HeadraceError):
    code = "step_failed"
