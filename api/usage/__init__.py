"""What was used, and what models cost."""
