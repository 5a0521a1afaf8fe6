"""The load client and what it sends: targets, synthetic documents, reading streams."""
