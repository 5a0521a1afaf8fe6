"""What operators see of the installation: its metrics."""
