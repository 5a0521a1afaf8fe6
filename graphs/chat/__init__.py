"""The graph `chat`: one call of the model with a trimmed history. Read `state`, `context`, `graph` in that order."""
