"""OpenAI's API, as its SDKs speak it: `/v1/chat/completions` and `/v1/models`. Errors have OpenAI's shape here."""
