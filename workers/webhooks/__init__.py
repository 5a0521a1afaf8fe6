"""Webhooks: signing (Standard Webhooks 1.0.0), what messages say, when they are sent again, and what sends them."""
