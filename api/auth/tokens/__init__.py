"""Access tokens: issued here or by a tenant's identity provider, verified, and the keys they are signed with."""
