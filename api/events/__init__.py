"""The stream of what changes in a tenant."""
