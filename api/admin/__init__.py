"""What whoever runs the installation does: tenants, their grants, people and keys, prices, figures, the audit log (A9). What
a tenant may see of that itself stands beside it.
"""
