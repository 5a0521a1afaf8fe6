"""Calls to vendors over HTTP: sessions, streams, status codes."""
