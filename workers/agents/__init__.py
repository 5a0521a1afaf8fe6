"""How a worker answers chats and runs agents and pipelines. `chat.py` and `pipelines.py` receive the jobs; the other
modules provide what the graphs need."""
