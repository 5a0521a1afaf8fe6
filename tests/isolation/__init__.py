"""Tenants are apart, seen from outside: every route with every bad caller and every foreign id, under load, and as a SaaS."""
