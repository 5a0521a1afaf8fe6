"""The certificates of the installation, and what authorities are asked for them; in transactions of the platform."""
