"""Tools of LangChain as headrace's own: which the operator lists, how they are described, and how a call is made."""
