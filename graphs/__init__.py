"""How agents think: LangGraph graphs, their prompts, and the model providers that they call."""
