"""What can go wrong while a pipeline runs; it goes on from `schema/errors.py`. Another try would not mend it.

StepFailed    a step could not be done; the sentence names the step and says why
"""

from schema.errors import HeadraceError


class StepFailed(HeadraceError):
    code = "step_failed"
