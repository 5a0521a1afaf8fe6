"""Cohere, over its own protocol: `/v2/chat` of docs.cohere.com."""
