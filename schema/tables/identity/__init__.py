"""People, how they sign in, and what is sealed."""
