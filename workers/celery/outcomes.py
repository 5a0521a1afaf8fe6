"""Tells Celery how an attempt ended, by the exceptions that it knows: a task that returns has succeeded.

They name the error's code alone. What went wrong, and what was said, is in the job (`GET /api/jobs/{id}`).
"""

from billiard.exceptions import Terminated
from celery.exceptions import Ignore, Retry

from workers.queue.outcome import Outcome


class JobFailed(Exception):
    """The job failed, with this code."""


class JobRetried(Exception):
    """The job waits for another attempt, because of this code."""


EXPECTED = (JobFailed, Terminated)
"""What Celery does not log as an error: the job's own line says it (`job_ended`)."""


def tell_celery(outcome: Outcome) -> None:
    """Return if the job succeeded, else raise what Celery shows as failed, retried or revoked; a doorbell that did nothing
    changes nothing."""
    match outcome.state:
        case "succeeded":
            return
        case "failed":
            raise JobFailed(outcome.code) from None
        case "retried":
            raise Retry(exc=JobRetried(outcome.code)) from None
        case "cancelled":
            raise Terminated("cancelled") from None
        case _:
            raise Ignore from None
