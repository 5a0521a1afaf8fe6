"""Usage and cost of tenants, prices of models, and conversion of money."""
