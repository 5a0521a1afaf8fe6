"""Triggers: from the body of a call to a job."""
