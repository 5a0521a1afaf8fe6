"""A tenant's limits: rates, budgets, and what a running answer has reserved."""
