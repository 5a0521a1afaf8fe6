"""The Postgres and the Redis of a local stack: embedded, or those that were named."""
