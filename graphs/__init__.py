"""How an agent thinks: LangGraph graphs, their prompts, and the model providers they call."""
