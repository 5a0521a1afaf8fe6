"""`/v1/batches` in this process, without workers."""
