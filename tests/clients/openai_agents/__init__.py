"""openai-agents, OpenAI's framework for agents: its default model class speaks the Responses API."""
