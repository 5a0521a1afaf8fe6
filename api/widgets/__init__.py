"""Chat widgets: public keys that web pages of others carry. `manage.py` is for owners; `embed.py` for the pages' visitors, whom
`gate.py` and `visits.py` let in."""
