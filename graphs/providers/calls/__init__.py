"""What is noted of each call of a model: its span, its figures, how vendors fare, and the ids of its tool calls."""
