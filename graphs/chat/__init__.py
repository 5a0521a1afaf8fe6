"""The graph `chat`: one call of the model. Read `state`, `context`, `graph` in that order."""
