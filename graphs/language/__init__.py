"""Language: detection, tokens, clauses, and word-by-word translation of Vietnamese."""
