"""Statements about users, keys, sign-ins, identity providers, and what is sealed."""
