"""The Anthropic-compatible API: `/v1/messages` and `/v1/messages/count_tokens`, with errors in Anthropic's format."""
