"""What is known of models: prices, limits, capabilities. It is in rows that an admin has set, or that `models.json` seeds."""
