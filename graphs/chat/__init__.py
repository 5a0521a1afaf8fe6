"""The graph `chat`: one call of the model over a trimmed history. `state`, `context`, `graph` tell it in that order."""
