"""What the demo is made of: a made-up company with its agents and its handbook."""
