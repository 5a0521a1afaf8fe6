"""Who may do what: keys, the rights of roles, and the tenant that a key belongs to."""
