"""Statements about documents: uploaded, ingested, searched, deleted."""
