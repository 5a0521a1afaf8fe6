"""The OpenAI-compatible API, `/v1`: chat and text completions, responses, conversations, embeddings and models, with errors in
OpenAI's format. Files and batches are in folders of their own."""
