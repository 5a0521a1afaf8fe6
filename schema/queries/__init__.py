"""All SQL that is longer than a line, one noun a file. `get_` must exist, `find_` may be None; every function takes an
open transaction (`schema/postgres/connections.py`) first."""
