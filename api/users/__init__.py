"""Users of a tenant, and their right to see and erase what is kept about them."""
