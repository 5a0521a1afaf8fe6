"""Access tokens, ours and those of tenants' identity providers: issuing, verification, and signing keys."""
