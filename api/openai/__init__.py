"""The OpenAI-compatible API: `/v1/chat/completions`, `/v1/embeddings` and `/v1/models`, with errors in OpenAI's format."""
