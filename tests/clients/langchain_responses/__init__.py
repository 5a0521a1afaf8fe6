"""LangChain's ChatOpenAI over the Responses API."""
