"""Languages: which one a text is in, its words, its clauses, Vietnamese in English words."""
