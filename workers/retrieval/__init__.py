"""Finding the passages of a tenant's documents that answer a question: by meaning and by words, fused by rank."""
