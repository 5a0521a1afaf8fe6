"""Signing in, API keys, provider keys and identity providers, over HTTP."""
