"""Who is calling and what they may do: principals, keys, tokens, passwords. Signing in over HTTP is in `api/identity/`."""
