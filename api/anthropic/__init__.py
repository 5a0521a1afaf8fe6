"""The Anthropic-compatible API: `/v1/messages`, its token counts and batches, with errors in Anthropic's format."""
