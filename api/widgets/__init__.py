"""Chat widgets: public keys that web pages of others carry. `manage.py` is for owners; `embed.py` for the pages' visitors, whom
`gate.py` and `visits.py` let in; `schemas.py` has the bodies of both, `frames.py` what visitors see of a job's events."""
