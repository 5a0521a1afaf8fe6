"""A process, a store or the model fails while the system runs."""
