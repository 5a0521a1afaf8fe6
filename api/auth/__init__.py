"""Authentication and authorization: principals, keys, tokens, passwords. The routes for signing in are in `api/identity/`."""
