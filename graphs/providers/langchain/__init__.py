"""Chat models and embedders of LangChain as models `langchain/NAME`: which the operator lists, and the process that runs
them."""
