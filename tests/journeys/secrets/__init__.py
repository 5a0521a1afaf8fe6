"""What was said, and every secret, stays where it belongs."""
