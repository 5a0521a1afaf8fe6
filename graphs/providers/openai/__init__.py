"""Every vendor that speaks OpenAI's protocol."""
