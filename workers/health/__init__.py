"""Whether the parts of an installation work: `checks.py` tries what users do, `watch.py` tells webhooks of changes."""
