"""The certificates that this installation serves TLS with: for platform admins to manage, and for an authority to check."""
