"""A new installation and each start of it: the newest schema, the first rows, the settings."""
