"""The audit log: written by whoever changes something, read by owners and admins."""
