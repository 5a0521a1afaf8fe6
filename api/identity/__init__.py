"""Routes for signing in, API keys, provider keys and identity providers. How callers are authenticated is in `api/auth/`."""
