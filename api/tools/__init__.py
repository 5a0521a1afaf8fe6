"""Configured tools and the data sources that they read."""
